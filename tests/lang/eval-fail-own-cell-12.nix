let x = [ x ]; in import x
