"""A proxy beside nginx as a bare reverse proxy: the same upstream, the same certificates, in turns in one run.

  python3 bench/proxy.py target/release/portcullis [MEGABYTES] [SMALL-REQUESTS]

Prints throughput of one large PUT and the latency of small ones on a connection that stays. Asserts nothing but that
every request arrives. Every PUT through portcullis is a decision that is on record before anything is sent on; nginx
decides nothing. Needs nginx (Debian: nginx-light), curl and openssl.
"""
import hashlib, http.client, json, os, shutil, signal, socket, ssl, statistics, subprocess, sys, tempfile, time

portcullis = os.path.abspath(sys.argv[1])
megabytes = int(sys.argv[2]) if len(sys.argv) > 2 else 1024
small = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
work = tempfile.mkdtemp(prefix="portcullis-bench-")
at = lambda *names: os.path.join(work, *names)
deploy = lambda name: at("deploy", name)
run = lambda *a, **k: subprocess.run(a, check=True, capture_output=True, **k)
processes = []


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def nginx(name, http):
    os.makedirs(at(name, "files"))
    folder = at(name)
    temporary = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    open(at(name, "nginx.conf"), "w").write(
        f"user root; daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{ worker_connections 1024; }}\nhttp {{ access_log off; client_max_body_size 0; {temporary}\n{http} }}\n")
    processes.append(subprocess.Popen(["/usr/sbin/nginx", "-p", folder, "-c", at(name, "nginx.conf"), "-e", f"{folder}/error.log"]))


def wait(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nobody listens on {port}")


def serve(upstream, port):
    run(portcullis, "init", at("deploy"))
    config = open(deploy("serve.yaml")).read()
    begin, end = config.index("guardrails:"), config.index("log: {")
    config = config[:begin] + config[end:]
    config = config.replace("127.0.0.1:8443", f"127.0.0.1:{free_port()}").replace("127.0.0.1:9464", "127.0.0.1:0")
    open(deploy("serve.yaml"), "w").write(config + f"""
proxies:
  - name: files
    kind: put
    listen: 127.0.0.1:{port}
    tls: {{ certificate: tls/server.crt, key: tls/server.key }}
    clients: {{ ca: tls/ca.crt, names: [ci.acme.example] }}
    upstream: {{ url: "http://127.0.0.1:{upstream}" }}
    spool: spool
    as: files.example
    routes: [{{ names: ["releases/*"], environment: prod/files }}]
""")
    shutil.rmtree(deploy("book"))
    os.makedirs(deploy("book/prod"))
    open(deploy("book/prod/files.yaml"), "w").write(
        "environment: prod/files\nartifact: \"files.example/releases/*\"\nrequire: { signed-by: [ci-tests], tests: [unit] }\n")
    log = open(at("serve.log"), "w")
    processes.append(subprocess.Popen([portcullis, "serve", "--config", deploy("serve.yaml")], stderr=log))
    wait(port)


def attach(digest):
    key, out = deploy("keys/ci-tests.key"), at("test.json")
    if os.path.exists(out):
        os.remove(out)
    run(portcullis, "attest", "test", digest, "--name", "unit", "--result", "passed", "--key", key, "--out", out)
    run(portcullis, "attach", digest, "--bundle", out, "--store", deploy("evidence"))


def large(port, number):
    began = time.perf_counter()
    done = run("curl", "--silent", "--show-error", "--http1.1", "--noproxy", "*", "--cacert", deploy("tls/ca.crt"), "--cert", deploy("tls/ci.crt"),
               "--key", deploy("tls/ci.key"), "--output", "/dev/null", "--write-out", "%{http_code}", "--upload-file", at("large"),
               f"https://127.0.0.1:{port}/releases/large{number}")
    assert done.stdout in (b"201", b"204"), (port, done)
    return megabytes / (time.perf_counter() - began)


def connection(port):
    context = ssl.create_default_context(cafile=deploy("tls/ca.crt"))
    context.load_cert_chain(deploy("tls/ci.crt"), deploy("tls/ci.key"))
    opened = http.client.HTTPSConnection("127.0.0.1", port, context=context)
    opened.connect()
    opened.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def one(opened, method, body):
    began = time.perf_counter()
    opened.request(method, "/releases/small", body=body)
    answer = opened.getresponse()
    answer.read()
    assert answer.status in (200, 201, 204), answer.status
    return (time.perf_counter() - began) * 1000


try:
    upstream, ours, buffered, unbuffered = (free_port() for _ in range(4))
    nginx("upstream", f"server {{ listen 127.0.0.1:{upstream}; root {at('upstream', 'files')}; keepalive_requests 1000000; "
          "location / { dav_methods PUT; create_full_put_path on; } }")
    wait(upstream)
    serve(upstream, ours)
    tls = (f"ssl_certificate {deploy('tls/server.crt')}; ssl_certificate_key {deploy('tls/server.key')}; "
           f"ssl_client_certificate {deploy('tls/ca.crt')}; ssl_verify_client on; keepalive_requests 1000000;")
    server = lambda port, how: (f"server {{ listen 127.0.0.1:{port} ssl; {tls} location / {{ proxy_pass http://behind; "
                                f"proxy_http_version 1.1; proxy_set_header Connection \"\"; {how} }} }}\n")
    nginx("bare", f"upstream behind {{ server 127.0.0.1:{upstream}; keepalive 16; }}\n"
          + server(buffered, "") + server(unbuffered, "proxy_request_buffering off;"))
    wait(buffered)
    with open(at("large"), "wb") as out:
        piece, digest = os.urandom(1 << 20), hashlib.sha256()
        for _ in range(megabytes):
            out.write(piece)
            digest.update(piece)
    body = os.urandom(1024)
    attach("sha256:" + digest.hexdigest())
    attach("sha256:" + hashlib.sha256(body).hexdigest())
    ends = [("portcullis", ours), ("nginx, which holds bodies too", buffered), ("nginx, which streams", unbuffered)]

    rates = {name: [] for name, _ in ends}
    for _ in range(5):
        for name, port in ends:
            rates[name].append(large(port, port))
    print(f"one PUT of {megabytes} MiB, medians of 5 in turns, HTTP/1.1 over TLS with client certificates")
    first = statistics.median(rates["portcullis"])
    for name, _ in ends:
        rate = statistics.median(rates[name])
        print(f"  {name:32} {rate:8.0f} MiB/s   portcullis has {first / rate:.2f} of it")

    for method, sent in [("PUT", body), ("GET", None)]:
        opened = {name: connection(port) for name, port in ends}
        spans = {name: [] for name, _ in ends}
        for number in range(small + 50):
            for name, _ in ends:
                span = one(opened[name], method, sent)
                if number >= 50:
                    spans[name].append(span)
        print(f"{method} of 1 KiB, {small} in turns on connections that stay")
        first = statistics.median(spans["portcullis"])
        for name, _ in ends:
            middle, late = statistics.median(spans[name]), statistics.quantiles(spans[name], n=100)[98]
            print(f"  {name:32} median {middle:6.2f} ms   99 % {late:6.2f} ms   portcullis adds {first - middle:5.2f} ms")
finally:
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.wait()
    shutil.rmtree(work)
