[ (let { a = 1; body = a; }) (x: x let { body = 1; } 2) let { body = 1; }.a ]
