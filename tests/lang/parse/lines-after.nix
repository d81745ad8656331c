[
  1
  ]]

# end
