let x = [ x ]; in 1.5 * x
