"""The controller's side of the plan control point: planners, and what is learned of them."""
