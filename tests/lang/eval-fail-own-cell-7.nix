let x = [ x ]; in assert x == [ ]; x
