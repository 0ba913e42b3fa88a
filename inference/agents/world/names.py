"""Names that tasks are made of. Many of each, so that nothing can be learned by heart."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PEOPLE = _words(
    """
    Ada Ana Anton Aria Bela Berta Boris Bruno Carla Cem Chidi Clara Dana Darius Dora Edgar Elif
    Emil Enzo Esme Farah Felix Fiona Franz Gina Goran Greta Hana Hugo Ida Igor Ines Ivo Jana
    Jonas Julia Kai Kamal Karin Kofi Lara Lena Leo Lin Luca Lucia Magda Malik Marco Maria Mateo
    Mei Mila Milan Mina Nadia Nils Nina Noor Olga Omar Oskar Otto Pablo Paula Pavel Petra Priya
    Rafael Rania Rosa Ruben Sami Sara Selma Silas Sofia Stefan Sven Tamar Tariq Tessa Theo Tina
    Tomas Uma Vera Viktor Wanda Yara Yusuf Zara Zoe
    """
)
SURNAMES = _words(
    """
    Adler Alvarez Bauer Becker Bianchi Blom Castro Chen Costa Dahl Diaz Dubois Duran Eriksen
    Falk Ferrari Fischer Fontaine Garcia Gruber Haas Hansen Horvat Ibrahim Ito Jensen Kaya
    Keller Khan Kim Klein Kovac Kumar Lang Larsen Lopez Lund Maier Marin Mendes Meyer Moreau
    Mori Nagy Neri Novak Nowak Okafor Olsen Ortiz Park Patel Perez Petrov Popov Ricci Rossi Roth
    Russo Sato Schmid Silva Singh Sousa Suzuki Tanaka Torres Vogel Wagner Wang Weber Wolf Yilmaz
    Young Zhang
    """
)
CITIES = _words(
    """
    Aarhus Accra Almaty Amman Ankara Antwerp Athens Austin Baku Bari Basel Beirut Belfast Bergen
    Berlin Bern Bilbao Bogota Bologna Boston Bremen Bristol Brno Brussels Budapest Cairo Calgary
    Cali Cardiff Chicago Cologne Cork Dakar Dallas Delhi Denver Dhaka Dresden Dublin Dubrovnik
    Edinburgh Espoo Florence Gdansk Geneva Genoa Ghent Glasgow Graz Hamburg Hanoi Havana
    Helsinki Houston Istanbul Izmir Jakarta Kampala Kazan Kiel Kigali Krakow Kyoto Lagos
    Lausanne Leeds Leipzig Lima Linz Lisbon London Lyon Madrid Malaga Malmo Manila Marseille
    Miami Milan Minsk Montreal Mumbai Munich Nagoya Nairobi Nantes Naples Nice Odessa Osaka Oslo
    Ottawa Padua Paris Perth Pisa Porto Prague Quito Rabat Riga Rome Rostock Rotterdam Santiago
    Seoul Seville Sofia Split Stockholm Sydney Tallinn Tampere Tbilisi Tokyo Toronto Toulouse
    Trieste Tunis Turin Utrecht Valencia Vancouver Venice Verona Vienna Vilnius Warsaw Wroclaw
    Zagreb Zurich
    """
)
MAKERS = _words(
    """
    Alto Arbor Astra Boreal Cobalt Coral Delta Ember Fjord Flint Gale Garnet Harbor Helix Iris
    Juno Kestrel Lark Lumen Maple Nimbus Nova Onyx Opal Orbit Pine Prism Quartz Raven Sable
    Sierra Solar Terra Umber Vega Willow Zephyr
    """
)
THINGS = _words(
    """
    anvil bench bike boiler camera chair clock compass desk drill fan heater kayak kettle ladder
    lamp lathe loom mixer oven piano printer pump radio saddle scale scooter shelf sled sofa
    stove table tent tripod trolley vault wagon winch
    """
)
FOLDERS = _words(
    """
    archive budget clients design drafts finance forms garden house ideas inbox kitchen legal
    lists logs memos music notes office orders plans projects reports research sales school shop
    sport stock studio team travel work
    """
)
STEMS = _words(
    """
    agenda april audit backup bridge budget cables camp census charter choir clinic contract
    course cover debate depot draft energy estate export fair ferry festival fleet forecast
    freight guide harvest index intro invoice january journal july lease ledger letter market
    march measures menu minutes mill model museum network october order outline parcel parts
    pilot plan policy poll port quote race rent repair report review roof route salary sample
    schedule season setup shipment signal site sketch spec status storage summary supply survey
    targets tender theatre tools tower trial update visit warehouse weekly workshop
    """
)
TITLES = _words(
    """
    audit briefing call check choir class coaching dentist dinner exam fitting haircut hearing
    inspection interview lecture lesson lunch massage meeting rehearsal repair review seminar
    standup survey therapy tour training viewing visit walk workshop
    """
)
TOPICS = _words(
    """
    acid amber asphalt barley basil beacon birch brass bronze candle canvas carbon cedar cement
    cherry cinnamon clay clover copper cork cotton crystal diesel dynamo ebony engine falcon
    fennel fiber fossil gasket ginger glass granite gravel hazel helium honey hydrogen indigo
    iron ivory jasmine kelp lantern lemon lentil lime linen magnet marble melon mercury mint
    mortar mosaic mustard nickel oat olive orchid paper pepper pigment plum pollen quinoa resin
    rubber rye saffron salt sand satin silk silver slate spruce steel sugar sulfur tea thyme
    timber tin tobacco turbine vanilla velvet walnut wax wheat wool yeast zinc
    """
)
