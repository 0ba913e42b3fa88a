"""``flyball bench slo``: who keeps what requests were promised, under how much load."""
