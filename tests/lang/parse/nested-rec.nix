{
  a = rec { x = 1; };
  a.y = x: x;
  b.y = 1;
  b = rec { z = 2; };
}
