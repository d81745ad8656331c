# The first variable of all has no value yet when it is needed.
rec { a = a; }
