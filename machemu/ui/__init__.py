"""What people see: the command line and the text of traces and reports."""
