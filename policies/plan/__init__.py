"""The ``plan`` control point: how many steps of an agent run ahead of their verification."""
