"""What the observer does, over its ports."""
