"""What calls, names, groups and datagrams cost: the tables of the docs."""
