[ http://example.org/a?b=c&d=%20 x:y a+b-c.d:e mailto:someone@example.org x:1 ]
