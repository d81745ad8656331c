[ null ] // { }
