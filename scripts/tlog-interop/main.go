// Independent implementations of C2SP's logs and witnesses, asked by crates/cli/tests/witness.rs:
//
//	tlog-interop check DIR VKEY PROOFS   reads a log, and checks every proof in a folder against it
//	tlog-interop proof POLICY PROOF LEAF checks one tlog-proof under a policy
//	tlog-interop write DIR NAME POLICY N makes a log of N entries with Tessera, which asks the witnesses of a policy
//	tlog-interop witness DIR NAME ADDRESS VKEY PROGRAM
//	                                     runs litewitness for the log of a key
package main

import (
	"fmt"
	"os"
)

func main() {
	commands := map[string]struct {
		arguments int
		run       func([]string) error
	}{
		"check":   {3, check},
		"proof":   {3, proof},
		"write":   {4, write},
		"witness": {5, witness},
	}
	if len(os.Args) < 2 || commands[os.Args[1]].run == nil || len(os.Args)-2 != commands[os.Args[1]].arguments {
		fmt.Fprintln(os.Stderr, "tlog-interop: see main.go")
		os.Exit(2)
	}
	if err := commands[os.Args[1]].run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "tlog-interop:", err)
		os.Exit(1)
	}
}
