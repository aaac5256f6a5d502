"""Neural-network composites: activations, normalisation and losses as plain functions of other ops."""
