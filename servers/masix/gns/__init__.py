"""The generic network server: tasks on several nodes send each other messages as if they were on one."""
