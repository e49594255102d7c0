// sigstore-go judges one bundle, with the words of cosign's flags: exit code 0 where it verifies.
package main

import (
	"crypto"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	file := flag.String("bundle", "", "the bundle")
	identity := flag.String("certificate-identity", "", "the identity")
	issuer := flag.String("certificate-oidc-issuer", "", "the issuer")
	key := flag.String("key", "", "the public key")
	trusted := flag.String("trusted-root", "", "the trusted root")
	flag.Parse()
	b, err := bundle.LoadJSONFromPath(*file)
	if err != nil {
		return err
	}
	trustedRoot, err := root.NewTrustedRootFromPath(*trusted)
	if err != nil {
		return err
	}
	var material root.TrustedMaterial = trustedRoot
	options := []verify.VerifierOption{verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)}
	var policy []verify.PolicyOption
	if *key != "" {
		if material, err = withKey(trustedRoot, *key); err != nil {
			return err
		}
		policy = append(policy, verify.WithKey())
	} else {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
		wanted, err := verify.NewShortCertificateIdentity(*issuer, "", *identity, "")
		if err != nil {
			return err
		}
		policy = append(policy, verify.WithCertificateIdentity(wanted))
	}
	verifier, err := verify.NewVerifier(material, options...)
	if err != nil {
		return err
	}
	about, closer, err := artifact(flag.Arg(0))
	if err != nil {
		return err
	}
	defer closer()
	_, err = verifier.Verify(b, verify.NewPolicy(about, policy...))
	return err
}

func artifact(input string) (verify.ArtifactPolicyOption, func(), error) {
	if text, is := strings.CutPrefix(input, "sha256:"); is {
		digest, err := hex.DecodeString(text)
		return verify.WithArtifactDigest("sha256", digest), func() {}, err
	}
	file, err := os.Open(input)
	if err != nil {
		return nil, nil, err
	}
	return verify.WithArtifact(file), func() { file.Close() }, nil
}

func withKey(trusted *root.TrustedRoot, path string) (root.TrustedMaterial, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	public, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	if err != nil {
		return nil, err
	}
	verifier, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	always := root.NewExpiringKey(verifier, time.Time{}, time.Time{})
	keys := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) { return always, nil })
	return root.TrustedMaterialCollection{trusted, keys}, nil
}
