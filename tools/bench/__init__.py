"""What machemu costs, in ratios to bare Unicorn measured in the same run."""
