let x = [ x ]; in x < 1
