"""On a real node, with the images and the chart. A package: its clusters go with its last test."""
