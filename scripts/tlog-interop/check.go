package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// check reads a log's checkpoint and tiles with torchwood, which authenticates each tile and each entry, and compares
// every proof of ours in PROOFS: N.tlog-proof for each entry, and a line `OLD hash hash…` for each older size in the
// file consistency.
func check(arguments []string) error {
	dir, vkey, proofs := arguments[0], arguments[1], arguments[2]
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(verifier.Name()), torchwood.SingleVerifierPolicy(verifier))
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return err
	}
	checkpoint, _, err := torchwood.VerifyCheckpoint(signed, policy)
	if err != nil {
		return err
	}
	tiles, err := torchwood.NewTileFS(os.DirFS(dir))
	if err != nil {
		return err
	}
	client, err := torchwood.NewClient(tiles)
	if err != nil {
		return err
	}
	ctx := context.Background()
	entries := int64(0)
	for index, entry := range client.AllEntries(ctx, checkpoint.Tree, 0) {
		text, err := os.ReadFile(filepath.Join(proofs, fmt.Sprintf("%d.tlog-proof", index)))
		if err != nil {
			return err
		}
		if err := torchwood.VerifyProof(policy, tlog.RecordHash(entry), text); err != nil {
			return fmt.Errorf("inclusion of %d: %w", index, err)
		}
		if torchwood.VerifyProof(policy, tlog.RecordHash(append(entry, 0)), text) == nil {
			return fmt.Errorf("the proof of %d proves another entry too", index)
		}
		entries++
	}
	if err := client.Err(); err != nil {
		return err
	}
	if entries != checkpoint.N {
		return fmt.Errorf("read %d entries of %d", entries, checkpoint.N)
	}
	return consistency(ctx, tiles, checkpoint, filepath.Join(proofs, "consistency"))
}

func consistency(ctx context.Context, tiles torchwood.TileReader, checkpoint torchwood.Checkpoint, file string) error {
	hashes := torchwood.TileHashReaderWithContext(ctx, checkpoint.Tree, tiles)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for _, line := range lines {
		words := strings.Fields(line)
		old, err := strconv.ParseInt(words[0], 10, 64)
		if err != nil {
			return err
		}
		var proof tlog.TreeProof
		for _, word := range words[1:] {
			raw, err := base64.StdEncoding.DecodeString(word)
			if err != nil {
				return err
			}
			proof = append(proof, tlog.Hash(raw))
		}
		root, err := tlog.TreeHash(old, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, checkpoint.N, checkpoint.Hash, old, root); err != nil {
			return fmt.Errorf("consistency from %d: %w", old, err)
		}
		theirs, err := tlog.ProveTree(checkpoint.N, old, hashes)
		if err != nil {
			return err
		}
		if len(theirs) != len(proof) {
			return fmt.Errorf("consistency from %d: %d hashes, and %d in theirs", old, len(proof), len(theirs))
		}
	}
	fmt.Printf("%d entries and %d older sizes\n", checkpoint.N, len(lines))
	return nil
}

// proof checks one tlog-proof of ours, with cosignatures, under a policy.
func proof(arguments []string) error {
	var files [3][]byte
	for i, path := range arguments {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files[i] = content
	}
	policy, err := torchwood.ParsePolicy(files[0])
	if err != nil {
		return err
	}
	if extra, err := torchwood.ProofExtraData(files[1]); err != nil || (extra != nil && !bytes.Equal(extra, files[2])) {
		return fmt.Errorf("the extra data is not the record: %w", err)
	}
	return torchwood.VerifyProof(policy, tlog.RecordHash(files[2]), files[1])
}
