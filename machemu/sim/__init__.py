"""The simulated world's foundations: state that can be saved, virtual time, ordered events, named random streams."""
