//! A real `portcullis serve` between Amazon's clients and a real object store that verifies every signature.

mod tools;

#[path = "proxy/server.rs"]
mod server;
#[path = "proxy/site.rs"]
mod site;
#[path = "proxy_s3/world.rs"]
mod world;

use std::fs;

use attest::Digest;
use site::until;
use tools::{path, stderr, stdout};
use world::World;

/// Refused, for this reason; and the store has what it had.
fn refused(world: &World, said: &str, beginning: &str, why: &str, left: &[&str]) {
    assert!(said.starts_with(beginning) && said.contains(why), "wanted {beginning} and {why:?}:\n{said}");
    assert_eq!(world.objects(), left, "{said}");
}

#[test]
fn an_object_is_stored_when_it_is_admitted() {
    let Some(world) = World::new() else { return };
    let site = &world.site;
    site.test(&Digest::sha256(b"good"));
    site.test_as(&Digest::sha256(b"failed"), "ci-tests", "failed");
    site.test_as(&Digest::sha256(b"stranger"), "official-ci", "passed");
    site.attach(&Digest::sha256(b"swapped"), &site.tested(&Digest::sha256(b"good"), "ci-tests", "passed"));
    let put = |key: &str, body: &str, more: &str| {
        world.client(&format!("s.put_object(Bucket=B, Key={key:?}, Body=b{body:?}{more})"))
    };
    for (key, body, more, begins, why) in [
        ("releases/a", "unknown", "", "403 AccessDenied", "error[signed-by]"),
        ("releases/a", "failed", "", "403 AccessDenied", "error[tests]"),
        ("releases/a", "stranger", "", "403 AccessDenied", "error[signed-by]"),
        ("releases/a", "swapped", "", "403 AccessDenied", "error["),
        ("elsewhere/a", "good", "", "403 AccessDenied", "error["),
        ("releases/a", "good", ", ACL='public-read'", "403 AccessDenied", "x-amz-acl"),
        ("releases/a", "good", ", GrantRead='id=everybody'", "403 AccessDenied", "x-amz-grant-read"),
        ("releases/a", "good", ", Tagging='a=b'", "403 AccessDenied", "x-amz-tagging"),
        (
            "releases/a",
            "good",
            ", WebsiteRedirectLocation='/b'",
            "403 AccessDenied",
            "x-amz-website-redirect-location",
        ),
        (
            "releases/a",
            "good",
            ", ObjectLockLegalHoldStatus='ON'",
            "403 AccessDenied",
            "x-amz-object-lock-legal-hold",
        ),
        ("releases/a", "good", ", ContentMD5='AAAAAAAAAAAAAAAAAAAAAA=='", "400 BadDigest", "content-md5"),
        ("releases/a", "good", ", ChecksumSHA256='A'", "400 BadDigest", "x-amz-checksum-sha256"),
        ("releases/../a", "good", "", "400 InvalidRequest", "`..`"),
    ] {
        refused(&world, &put(key, body, more), begins, why, &[]);
    }
    assert_eq!(put("releases/a b?c", "good", ", ContentType='text/plain', Metadata={'who': 'me'}"), "done");
    assert_eq!(world.objects(), ["releases/a b?c"]);
    assert_eq!(world.object("releases/a b?c"), b"good");
    let read = world.client(
        "a = s.get_object(Bucket=B, Key='releases/a b?c', Range='bytes=1-2')\n\
         print(a['Body'].read(), a['ContentType'], a['Metadata'])\n\
         print([o['Key'] for o in s.list_objects_v2(Bucket=B, Prefix='releases/a b')['Contents']])",
    );
    assert_eq!(read, "b'oo' text/plain {'who': 'me'}\n['releases/a b?c']\ndone");
    // what takes things away or makes places has no artifact
    for lines in [
        "s.delete_object(Bucket=B, Key='releases/a b?c')",
        "s.delete_objects(Bucket=B, Delete={'Objects': [{'Key': 'releases/a b?c'}]})",
        "s.delete_bucket_policy(Bucket=B)",
        "s.create_bucket(Bucket='another')",
    ] {
        refused(&world, &world.client(lines), "403 AccessDenied", "through here", &["releases/a b?c"]);
    }
    for lines in [
        "s.put_object_tagging(Bucket=B, Key='releases/a b?c', Tagging={'TagSet': []})",
        "s.restore_object(Bucket=B, Key='releases/a b?c', RestoreRequest={'Days': 1})",
        "s.put_bucket_intelligent_tiering_configuration(Bucket=B, Id='a', IntelligentTieringConfiguration={'Id': 'a', 'Status': 'Enabled', 'Tierings': []})",
    ] {
        refused(
            &world,
            &world.client(lines),
            "501 NotImplemented",
            "not among what goes",
            &["releases/a b?c"],
        );
    }
}

#[test]
fn a_copy_is_of_the_bytes_that_were_decided_about() {
    let Some(world) = World::new() else { return };
    world.site.test(&Digest::sha256(b"good"));
    world.direct("s.put_object(Bucket=B, Key='inbox/bad', Body=b'evil'); s.put_object(Bucket=B, Key='inbox/new', Body=b'good', ContentType='text/plain')");
    let copy = |source: &str| {
        world.client(&format!(
            "s.copy_object(Bucket=B, Key='releases/a', CopySource={{'Bucket': B, 'Key': {source:?}}})"
        ))
    };
    let before = ["inbox/bad", "inbox/new"];
    refused(&world, &copy("inbox/bad"), "403 AccessDenied", "error[signed-by]", &before);
    refused(&world, &copy("inbox/none"), "404 NoSuchKey", "", &before);
    assert_eq!(copy("inbox/new"), "done");
    assert_eq!(world.object("releases/a"), b"good");
    assert!(
        world
            .client("print(s.head_object(Bucket=B, Key='releases/a')['ContentType'])")
            .starts_with("text/plain")
    );
    // the source changes all the time, and never reaches the other side
    world.direct("s.delete_object(Bucket=B, Key='releases/a')");
    std::thread::scope(|scope| {
        let change = "for n in range(300): s.put_object(Bucket=B, Key='inbox/new', Body=b'evil' if n % 2 else b'good')";
        let changing = scope.spawn(|| world.direct(change));
        let copying = "done = 0\n\
            for n in range(60):\n  \
              try:\n    \
                s.copy_object(Bucket=B, Key=f'releases/{n}', CopySource={'Bucket': B, 'Key': 'inbox/new'}); done += 1\n  \
              except ClientError as e:\n    \
                assert 'error[signed-by]' in str(e), e\n\
            print(done)";
        let said = world.client(copying);
        changing.join().unwrap();
        let copied: usize = said.lines().next().unwrap().parse().unwrap();
        let stored: Vec<_> =
            world.objects().into_iter().filter(|name| name.starts_with("releases/")).collect();
        assert_eq!(stored.len(), copied, "{said}");
        assert!(copied > 0 && copied < 60, "{copied} of 60 met the good one");
        assert!(stored.iter().all(|name| world.object(name) == b"good"));
    });
}

#[test]
fn the_parts_of_an_upload_are_decided_about_as_one() {
    let Some(world) = World::new() else { return };
    let whole = [vec![b'a'; 5 << 20], vec![b'b'; 3 << 20]].concat();
    let upload = |key: &str, last: char| {
        world.client(&format!(
            "import io\n\
             c = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20, max_concurrency=2)\n\
             from boto3.exceptions import S3UploadFailedError\n\
             try:\n  \
               s.upload_fileobj(io.BytesIO(b'a' * (5 << 20) + b'{last}' * (3 << 20)), B, {key:?}, Config=c)\n\
             except S3UploadFailedError as e: print(e)"
        ))
    };
    let refused_upload = upload("releases/big", 'b');
    refused(&world, &refused_upload, "403 AccessDenied", "error[signed-by]", &[]);
    world.site.test(&Digest::sha256(&whole));
    assert_eq!(upload("releases/big", 'b'), "done");
    assert_eq!(world.objects(), ["releases/big"]);
    assert!(world.object("releases/big") == whole);
    refused(&world, &upload("releases/big", 'c'), "403 AccessDenied", "error[signed-by]", &["releases/big"]);
    // parts in another order, parts that did not come, what was given up
    let begin = "u = s.create_multipart_upload(Bucket=B, Key='releases/two')['UploadId']\n\
        p = lambda n, b: {'PartNumber': n, 'ETag': s.upload_part(Bucket=B, Key='releases/two', UploadId=u, PartNumber=n, Body=b)['ETag']}\n\
        done = lambda *parts: s.complete_multipart_upload(Bucket=B, Key='releases/two', UploadId=u, MultipartUpload={'Parts': list(parts)})\n";
    for (lines, begins) in [
        ("a, b = p(1, b'a'), p(2, b'b')\ndone(b, a)", "400 InvalidPartOrder"),
        ("a = p(1, b'a')\ndone(a, {'PartNumber': 2, 'ETag': a['ETag']})", "400 InvalidPart"),
        ("a = p(1, b'a')\np(1, b'b')\ndone(a)", "400 InvalidPart"),
        (
            "a = p(1, b'a')\ns.abort_multipart_upload(Bucket=B, Key='releases/two', UploadId=u)\ndone(a)",
            "404 NoSuchUpload",
        ),
        ("a = p(1, b'a')\ndone(a)", "403 AccessDenied"),
        ("s.create_multipart_upload(Bucket=B, Key='releases/two', ACL='public-read')", "403 AccessDenied"),
    ] {
        refused(&world, &world.client(&format!("{begin}{lines}")), begins, "", &["releases/big"]);
    }
    let listed = world.client(&format!("{begin}p(2, b'bb'); print([(x['PartNumber'], x['Size']) for x in s.list_parts(Bucket=B, Key='releases/two', UploadId=u)['Parts']])"));
    assert_eq!(listed, "[(2, 2)]\ndone");
}

/// T6: a bucket's access list is changed by hand.
#[test]
fn who_may_read_is_configuration_that_is_reviewed() {
    let Some(world) = World::new() else { return };
    let list = |grants: &str| {
        format!(
            "s.put_bucket_acl(Bucket=B, AccessControlPolicy={{'Owner': {{'ID': 'store-root'}}, 'Grants': [{grants}]}})"
        )
    };
    // the store itself adds what its owner has
    let shared = "{'Grantee': {'ID': 'partner', 'Type': 'CanonicalUser'}, 'Permission': 'READ'}";
    let grants = |expected: &str| {
        let said = world.direct("print([g['Permission'] for g in s.get_bucket_acl(Bucket=B)['Grants']])");
        assert_eq!(said, format!("{expected}\ndone"));
    };
    refused(
        &world,
        &world.client("s.put_bucket_acl(Bucket=B, ACL='public-read')"),
        "403 AccessDenied",
        "send the document itself",
        &[],
    );
    refused(
        &world,
        &world.client("s.put_bucket_acl(Bucket=B, GrantRead='id=all-users')"),
        "403 AccessDenied",
        "x-amz-grant-read",
        &[],
    );
    let said = world.client(&list(shared));
    refused(&world, &said, "403 AccessDenied", "error[signed-by]", &[]);
    let added = said.lines().find(|line| line.starts_with("  + ")).unwrap_or_else(|| panic!("{said}"));
    assert!(added.contains("<ID>partner</ID>") && added.contains("<Permission>READ</Permission>"), "{said}");
    grants("['FULL_CONTROL']");
    // what is refused says what a review has to be of
    let (_, digest) =
        said.lines().find(|line| line.starts_with("what was sent")).unwrap().rsplit_once(' ').unwrap();
    let document =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxy_s3/shared.xml")).unwrap();
    assert_eq!(Digest::sha256(document.trim_end().as_bytes()).to_string(), digest, "{said}");
    world.review(document.trim_end().as_bytes());
    assert_eq!(world.client(&list(shared)), "done");
    grants("['FULL_CONTROL', 'READ']");
    // one more right than was reviewed
    let more = shared.replace("'READ'", "'WRITE'");
    refused(&world, &world.client(&list(&more)), "403 AccessDenied", "error[signed-by]", &[]);
    grants("['FULL_CONTROL', 'READ']");
}

#[test]
fn a_buckets_policy_is_reviewed_however_it_is_written() {
    let Some(world) = World::new() else { return };
    let reviewed = r#"{"Statement":[{"Action":"s3:GetObject","Effect":"Allow","Principal":"*","Resource":"arn:aws:s3:::shop-downloads/releases/*"}],"Version":"2012-10-17"}"#;
    let written = "p = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Principal': '*', 'Action': 's3:GetObject', 'Resource': 'arn:aws:s3:::shop-downloads/releases/*'}]}\n\
        s.put_bucket_policy(Bucket=B, Policy=json.dumps(p, indent=4))";
    let none = || assert!(world.client("s.get_bucket_policy(Bucket=B)").contains("NoSuchBucketPolicy"));
    refused(&world, &world.client(written), "403 AccessDenied", "error[signed-by]", &[]);
    none();
    world.review(reviewed.as_bytes());
    refused(
        &world,
        &world.client(&written.replace("releases/*", "*")),
        "403 AccessDenied",
        "error[signed-by]",
        &[],
    );
    none();
    assert_eq!(world.client(written), "done");
    assert_eq!(world.client("print(s.get_bucket_policy(Bucket=B)['Policy'])"), format!("{reviewed}\ndone"));
    let said = world.client(&written.replace("s3:GetObject", "s3:*"));
    assert!(said.contains("- Statement: ") && said.contains(r#"+ Statement: {"Action":"s3:*""#), "{said}");
    refused(
        &world,
        &world.client("s.put_bucket_policy(Bucket=B, Policy='{\"Version\": 1, \"Version\": 2}')"),
        "400 InvalidRequest",
        "cannot be read",
        &[],
    );
    for lines in [
        "s.put_public_access_block(Bucket=B, PublicAccessBlockConfiguration={'BlockPublicAcls': False})",
        "s.put_bucket_cors(Bucket=B, CORSConfiguration={'CORSRules': [{'AllowedMethods': ['GET'], 'AllowedOrigins': ['*']}]})",
        "s.put_bucket_versioning(Bucket=B, VersioningConfiguration={'Status': 'Suspended'})",
    ] {
        refused(&world, &world.client(lines), "403 AccessDenied", "error[policy-missing]", &[]);
    }
}

/// Bodies in the framing of S3's clients, as one writes them who wants to have the wrong bytes stored.
#[test]
fn a_body_means_one_thing() {
    let Some(world) = World::new() else { return };
    world.site.test(&Digest::sha256(b"good"));
    let put = |body: &str, headers: &[&str]| {
        let mut curl = world.site.curl("ci");
        curl.args(["--upload-file", "-", "--write-out", "%{http_code}"]);
        curl.args(headers.iter().flat_map(|header| ["--header", *header]));
        curl.arg(format!("https://{}/shop-downloads/releases/framed", world.proxy));
        world::with_input(curl, body.as_bytes())
    };
    let (streaming, trailing) = (
        "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    );
    let (four, announced) = ("x-amz-decoded-content-length: 4", "x-amz-trailer: x-amz-checksum-crc32");
    let whole = "4;chunk-signature=ab\r\ngood\r\n0;chunk-signature=cd\r\n\r\n";
    let with_sum = |sum: &str| format!("4\r\ngood\r\n0\r\nx-amz-checksum-crc32:{sum}\r\n\r\n");
    let other = format!("x-amz-content-sha256: {}", Digest::sha256(b"evil").hex());
    for (body, headers, code, why) in [
        (whole, &[streaming, "x-amz-decoded-content-length: 5"][..], "InvalidRequest", "1 bytes less"),
        (whole, &[streaming], "InvalidRequest", "x-amz-decoded-content-length is missing"),
        ("4\r\ngood\r\n0\r\n\r\nevil", &[streaming, four], "IncompleteBody", "behind the last piece"),
        ("4\r\ngoodevil\r\n0\r\n\r\n", &[streaming, four], "IncompleteBody", "longer than its size"),
        ("4\r\ngood\r\n", &[streaming, four], "InvalidRequest", "no last piece"),
        (whole, &["content-encoding: aws-chunked"], "InvalidRequest", "does not"),
        (whole, &["x-amz-content-sha256: STREAMING-OF-TOMORROW", four], "InvalidRequest", "known here"),
        (&with_sum("AAAAAA=="), &[trailing, four, announced], "BadDigest", "x-amz-checksum-crc32"),
        (&with_sum("AAAAAA=="), &[trailing, four], "InvalidRequest", "does not announce"),
        (whole, &[trailing, four, announced], "InvalidRequest", "it did not come"),
        ("good", &[&other], "XAmzContentSHA256Mismatch", "send it again"),
        (whole, &[], "AccessDenied", "error[signed-by]"),
    ] {
        let said = put(body, headers);
        let (code, is_told) = (format!("<Code>{code}</Code>"), said.contains(why));
        assert!(said.contains(&code) && is_told, "{body:?} {headers:?} {code} {why}:\n{said}");
        assert_eq!(world.objects(), Vec::<String>::new(), "{said}");
    }
    for (body, headers) in [
        (whole, &[streaming, four, "content-encoding: aws-chunked"][..]),
        (&with_sum("bIROkg=="), &[trailing, four, announced, "content-encoding: aws-chunked, gzip"]),
        ("good", &["x-amz-content-sha256: UNSIGNED-PAYLOAD"]),
    ] {
        let said = put(body, headers);
        assert!(said.ends_with("200"), "{said}");
        assert_eq!(world.object("releases/framed"), b"good");
    }
}

#[test]
fn clients_that_sign_are_known_by_their_keys() {
    let Some(world) = World::signed() else { return };
    world.site.test(&Digest::sha256(b"good"));
    let file = world.site.at("good");
    fs::write(&file, "good").unwrap();
    let put = "s.put_object(Bucket=B, Key='releases/a b', Body=b'good')";
    refused(
        &world,
        &world.signer("ci-key", "another-secret", put),
        "403 AccessDenied",
        "not one by this access key",
        &[],
    );
    refused(&world, &world.signer("stranger", "ci-secret", put), "403 AccessDenied", "nobody here has", &[]);
    let copy = ["s3", "cp", path(&file), "s3://shop-downloads/releases/by-hand"];
    let output = world.aws("ci-key", "wrong", &copy);
    refused(
        &world,
        &stderr(&output).trim_start().replace("upload failed", "403"),
        "403",
        "not one by this access key",
        &[],
    );
    assert_eq!(world.signer("ci-key", "ci-secret", put), "done");
    let output = world.aws("ci-key", "ci-secret", &copy);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert_eq!(world.objects(), ["releases/a b", "releases/by-hand"]);
    fs::write(&file, "evil").unwrap();
    let output = world.aws("ci-key", "ci-secret", &copy);
    assert!(stderr(&output).contains("error[signed-by]"), "{}", stderr(&output));
    assert_eq!(world.object("releases/by-hand"), b"good");
    assert!(
        world.aws("ci-key", "ci-secret", &["s3", "ls", "s3://shop-downloads/releases/"]).status.success()
    );
    let list = ["s3api", "put-bucket-acl", "--bucket", "shop-downloads", "--acl", "public-read"];
    assert!(stderr(&world.aws("ci-key", "ci-secret", &list)).contains("send the document itself"));
}

#[test]
fn keys_and_accounts_are_looked_at_again_as_certificates_are() {
    let Some(world) = World::signed() else { return };
    world.site.test(&Digest::sha256(b"good"));
    let put = "s.put_object(Bucket=B, Key='releases/a', Body=b'good')";
    assert_eq!(world.signer("ci-key", "ci-secret", put), "done");
    let accounts = "accounts:\n  - name: ci.acme.example\n    access-key-id: next-key\n    secret-access-key: next-secret\n";
    fs::write(world.site.at("accounts.yaml"), accounts).unwrap();
    world.running.event_with(&["\"reloaded\"", "\"what\":\"keys\""]);
    let withdrawn = world.signer("ci-key", "ci-secret", put);
    refused(&world, &withdrawn, "403 AccessDenied", "nobody here has", &["releases/a"]);
    assert_eq!(world.signer("next-key", "next-secret", put), "done");
    // the store's own, which it does not know
    let keys = fs::read_to_string(world.site.at("store.keys")).unwrap();
    fs::write(world.site.at("store.keys"), keys.replace("store-root", "nobody")).unwrap();
    let is_new = |count: usize| world.running.count("\"what\":\"keys\"") == count;
    until("the store's keys are not looked at", || is_new(2));
    assert_ne!(world.signer("next-key", "next-secret", put), "done");
    fs::write(world.site.at("store.keys"), &keys).unwrap();
    until("the store's keys are not looked at", || is_new(3));
    // what does not do leaves what did
    fs::write(world.site.at("accounts.yaml"), "accounts: none\n").unwrap();
    let line = world.running.event_with(&["\"reload-refused\"", "\"what\":\"keys\""]);
    assert!(!line.contains("next-secret"), "{line}");
    assert_eq!(world.signer("next-key", "next-secret", put), "done");
}

#[test]
fn files_with_keys_that_are_not_there_are_missing_like_others() {
    let tls = site::TLS.lines().filter(|line| !line.contains("clients:")).collect::<Vec<_>>().join("\n");
    let section = format!(
        "  - name: downloads
    kind: s3
    {tls}
    anonymous: true
    accounts: accounts.yaml
    upstream: {{ url: \"http://127.0.0.1:1\" }}
    region: us-east-1
    keys: store.keys
    routes: [{{ names: [\"shop/**\"], environment: prod/downloads }}]
"
    );
    let site = site::Site::new(&[site::Policy::tested("prod/downloads", "s3://shop/*")], &section);
    let config = site.at("serve.yaml");
    let said = tools::expect(1, &["serve", "--check", "--config", path(&config)]);
    assert!(said.contains("missing: a proxy's key file for the store: there is no"), "{said}");
    assert!(said.contains("missing: the accounts of a proxy's clients: there is no"), "{said}");
    fs::write(site.at("store.keys"), "access-key-id: a\n").unwrap();
    fs::write(site.at("accounts.yaml"), "accounts: []\n").unwrap();
    let said = tools::expect(2, &["serve", "--check", "--config", path(&config)]);
    assert!(said.contains("error[proxy-invalid]") && said.contains("secret-access-key"), "{said}");
}
