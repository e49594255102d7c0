// A registry with the referrers API, in memory: it listens on a free port of this machine and prints the address.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	server := http.Server{Handler: ociserver.New(ocimem.New(), nil), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.Serve(listener))
}
