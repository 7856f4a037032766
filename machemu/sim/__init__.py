"""The simulated world's foundations: state that can be saved, and ordered events."""
