"""Names of tasks for people: a boot module's path, in parentheses for a child."""


def file_name(name: str) -> str:
    """A task's name without its folders."""
    path = name.lstrip("(")
    return name[: len(name) - len(path)] + path.rpartition("/")[2]


def short_name(name: str) -> str:
    """A task's name without its folders, and without the parentheses that mark a child."""
    return file_name(name).strip("()")
