"""Makes recordings whose content is known: particles planted in water, along a dive."""
