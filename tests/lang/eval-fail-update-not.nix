{ } // !true
