"""The servers by which tasks move between nodes, after RHODOS: a manager each for processes, memory and IPC, which transfer their
parts of a task, and a migration manager, which asks them in the order that a strategy says."""
