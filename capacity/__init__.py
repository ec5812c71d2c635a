"""What a platform needs and costs: sizes, prices, predictions, address plans. Pure but for reading its own data."""
