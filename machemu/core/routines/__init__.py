"""What the kernel does for each routine: one module a subsystem, one table of them all.

A handler gets the kernel, the request message, and the request's arguments after the request port; it gives the reply's values
after RetCode. It raises KernError where the routine fails: then the caller still owns all that the request carries, and destroys
it. Where it returns, it has consumed every right and all memory that came as an argument.
"""
