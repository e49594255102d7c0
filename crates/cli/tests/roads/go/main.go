// Greets with somebody's words, under a name made from them.
package main

import (
	"fmt"

	"github.com/google/uuid"
	"rsc.io/quote"
)

func main() {
	words := quote.Go()
	fmt.Println(uuid.NewSHA1(uuid.NameSpaceURL, []byte(words)), words)
}
