// The second MongoDB-protocol server of the tests: FerretDB 1.24 on SQLite files in a directory, the
// first argument, at a port, the second. It prints its URI and serves until standard input ends.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}

// announce prints the URI as soon as somebody answers there.
func announce(ctx context.Context, address string, server *ferretdb.FerretDB) {
	for ctx.Err() == nil {
		if connection, err := net.Dial("tcp", address); err == nil {
			connection.Close()
			fmt.Println(server.MongoDBURI())
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func run(data, port string) error {
	if port == "0" {
		free, err := freePort()
		if err != nil {
			return err
		}
		port = free
	}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:" + port},
		Handler:   "sqlite",
		SQLiteURL: "file:" + data + "/",
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	go announce(ctx, "127.0.0.1:"+port, server)
	if err := server.Run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "ferretdb:", err)
		os.Exit(1)
	}
}
