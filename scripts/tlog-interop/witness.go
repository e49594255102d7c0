package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// witness runs litewitness, with its key in an agent of ours, until it is told to stop (SIGTERM). Once it answers, it
// says so in DIR/witness.vkey.
func witness(arguments []string) error {
	dir, name, address, vkey, program := arguments[0], arguments[1], arguments[2], arguments[3], arguments[4]
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	socket := filepath.Join(dir, "agent")
	if err := serveAgent(socket, private); err != nil {
		return err
	}
	shared, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	database := filepath.Join(dir, "litewitness.db")
	command := exec.CommandContext(ctx, program, "-name", name, "-db", database, "-ssh-agent", socket, "-listen", address,
		"-key", ssh.FingerprintSHA256(shared))
	// it dies with us, however we die
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return err
	}
	if err := awaitListener(ctx, address); err != nil {
		return err
	}
	if err := follow(database, vkey); err != nil {
		return err
	}
	verifier, err := torchwood.NewCosignatureSigner(name, private)
	if err != nil {
		return err
	}
	text := []byte(verifier.Verifier().String() + "\n")
	temporary := filepath.Join(dir, "witness.vkey.tmp")
	if err := os.WriteFile(temporary, text, 0o644); err != nil {
		return err
	}
	if err := os.Rename(temporary, filepath.Join(dir, "witness.vkey")); err != nil {
		return err
	}
	err = command.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func serveAgent(socket string, private ed25519.PrivateKey) error {
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(keys, connection)
		}
	}()
	return nil
}

func awaitListener(ctx context.Context, address string) error {
	for ctx.Err() == nil {
		if connection, err := net.Dial("tcp", address); err == nil {
			return connection.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return ctx.Err()
}

// follow adds a log to litewitness's database, as its witnessctl does.
func follow(database, vkey string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	connection, err := sqlite.OpenConn(database, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	defer connection.Close()
	empty, err := tlog.TreeHash(0, nil)
	if err != nil {
		return err
	}
	root := base64.StdEncoding.EncodeToString(empty[:])
	statements := []struct {
		text   string
		second string
	}{
		{"INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)", root},
		{"INSERT INTO key (origin, key) VALUES (?, ?)", vkey},
	}
	for _, statement := range statements {
		options := &sqlitex.ExecOptions{Args: []any{verifier.Name(), statement.second}}
		if err := sqlitex.Execute(connection, statement.text, options); err != nil {
			return fmt.Errorf("%s: %w", statement.text, err)
		}
	}
	return nil
}
