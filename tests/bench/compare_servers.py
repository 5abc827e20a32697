#!/usr/bin/env python3
"""`minnow serve` beside llama.cpp's llama-server: the same model, prompts and numbers of tokens, in turns.

    compare_servers.py --minnow PATH --llama-server PATH -m MODEL.gguf [-t 1] [--rounds 5] CASE

document  three questions about a document of 500 tokens, beside one request with the same tokens
clients   four clients at a time whose prompts have 300 tokens in common
grammar   answers of letters, and JSON of a schema (--schema), beside free ones
adapters  eight clients with an adapter each (--adapters A.gguf...), beside eight of the base
draft     with a draft model (--draft SMALL.gguf) beside without

Both servers run all the time and answer one after the other; who was second goes first in the next round. What is
compared is the processor time of the server's process, which other work on the machine disturbs little (with more
than one thread, spinning threads count), and the time by the clock. Prompts are random tokens; nothing is guessed but
in `draft`, and answers do not end before their length but in JSON. Needs python3-grpcio, protoc and its Python plugin.
"""
import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
LETTERS = "[a-zA-Z ,.]"


def stubs(folder):
    protos = [str(p.relative_to(ROOT / "proto")) for p in (ROOT / "proto").rglob("*.proto")]
    subprocess.run(["protoc", "-I", str(ROOT / "proto"), f"--python_out={folder}", f"--grpc_out={folder}",
                    f"--plugin=protoc-gen-grpc={shutil.which('grpc_python_plugin')}", *protos], check=True)
    sys.path.insert(0, folder)


class Server:
    """A process, asked by ask(prompt, n, **how); how: schema, letters, temperature, adapter, guess."""

    def __init__(self, command):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        until = time.monotonic() + 120
        while True:
            try:
                self.ask([300] * 4, 1, guess=True)
                return
            except Exception as error:
                if self.process.poll() is None and time.monotonic() < until:
                    time.sleep(0.2)
                    continue
                self.close()
                self.log.seek(0)
                sys.exit(f"{' '.join(command)}\ndoes not answer: {error}\n{self.log.read()[-2000:].decode()}")

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Minnow(Server):
    name = "Minnow"

    def __init__(self, o):
        import grpc
        from minnow.v1 import inference_pb2, inference_pb2_grpc
        self.messages = inference_pb2
        address = f"127.0.0.1:{o.port}"
        self.stub = inference_pb2_grpc.InferenceStub(grpc.insecure_channel(address))
        command = [o.minnow, "serve", "-m", f"m={o.model}", "-t", str(o.threads), "-c", str(o.context),
                   "--kv-tokens", str(o.context * o.slots), "--listen", address]
        for adapter in o.adapters:
            command += ["--lora", f"m:{adapter.stem}", "--model-dir", str(adapter.parent)]
        command += ["--draft", f"m={o.draft}"] if o.draft else []
        super().__init__(command)

    def ask(self, prompt, n, schema=None, letters=False, temperature=0, adapter=None, guess=False):
        options = dict(max_tokens=n, ignore_end=not (schema or letters), speculate=guess,
                       sampling=dict(temperature=temperature, seed=random.getrandbits(32)))
        if schema:
            options["json_schema"] = schema
        if letters:
            options["regex"] = LETTERS + "{4,}!{9}"
        request = self.messages.GenerateRequest(
            model=f"m:{adapter.stem}" if adapter else "m", prompt=dict(tokens=dict(ids=prompt)), options=options)
        for event in self.stub.Generate(request, timeout=600):
            if event.HasField("finished"):
                usage = event.finished.usage
        return usage.prompt_tokens - usage.cached_tokens, usage.completion_tokens


class Peer(Server):
    name = "llama.cpp"

    def __init__(self, o, plain=False):
        port = o.port + (1 if plain else 2)
        self.url = f"http://127.0.0.1:{port}/completion"
        self.adapters = [] if plain else o.adapters
        # With a draft no request can say that nothing be guessed, with adapters the base alone is slower.
        self.plain = Peer(o, plain=True) if not plain and (o.draft or o.adapters) else None
        command = [o.llama_server, "-m", o.model, "-t", str(o.threads), "-tb", str(o.threads), "--port", str(port),
                   "-c", str(o.context * o.slots), "-np", str(o.slots)]
        if self.adapters:
            command += ["--lora", ",".join(map(str, self.adapters)), "--lora-init-without-apply"]
        if o.draft and not plain:
            command += ["-md", o.draft, "--spec-type", "draft-simple", *o.peer_draft]
        super().__init__(command)

    def cpu(self):
        return super().cpu() + (self.plain.cpu() if self.plain else 0)

    def close(self):
        if self.plain:
            self.plain.close()
        super().close()

    def ask(self, prompt, n, schema=None, letters=False, temperature=0, adapter=None, guess=False):
        if self.plain and not (guess or adapter):
            return self.plain.ask(prompt, n)
        request = dict(prompt=prompt, n_predict=n, temperature=temperature, samplers=["temperature"], cache_prompt=True,
                       ignore_eos=not (schema or letters),
                       response_fields=["timings", "tokens_predicted"])
        if schema:
            request["json_schema"] = json.loads(schema)
        if letters:
            request["grammar"] = f"root ::= {LETTERS}{{4,}} \"!!!!!!!!!\""
        if adapter:
            request["lora"] = [dict(id=self.adapters.index(adapter), scale=1)]
        data = json.dumps(request).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url, data, {"Content-Type": "application/json"})) as r:
            answer = json.load(r)
        return answer["timings"]["prompt_n"], answer["tokens_predicted"]


def words(n):
    return [random.randrange(300, 40000) for _ in range(n)]


class Measured:
    """What some asks took: seconds of the processor and of the clock, tokens of prompts and of answers."""

    def __init__(self, server, asks, at_once=1):
        cpu, start = server.cpu(), time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            done = list(pool.map(lambda a: server.ask(*a[0], **a[1]), asks))
        self.wall = time.monotonic() - start
        self.cpu = server.cpu() - cpu
        self.prompt, self.answer = (sum(d[i] for d in done) for i in (0, 1))


def ask(prompt, n, **how):
    return (prompt, n), how


def document(server, o):
    text = words(500)
    three = [ask(text + words(12), 8) for _ in range(3)]
    yield "three questions", Measured(server, three)
    yield "one request", Measured(server, [ask(words(536), 24)])


def clients(server, o):
    text = words(300)
    yield "alone", Measured(server, [ask(words(312), 24)])
    yield "four at a time", Measured(server, [ask(text + words(12), 24) for _ in range(4)], 4)


def grammar(server, o):
    for name, how in (("free", {}), ("letters", dict(letters=True)), ("JSON", dict(schema=o.schema_text))):
        yield name, Measured(server, [ask(words(16), o.tokens, temperature=1, **how)])


def adapters(server, o):
    for name, used in (("base", [None] * 8), ("one adapter", o.adapters[:1] * 8), ("an adapter each", o.adapters)):
        yield name, Measured(server, [ask(words(16), o.tokens, adapter=a) for a in used], 8)


def draft(server, o):
    prompt = words(16)
    yield "plain", Measured(server, [ask([300] + prompt, o.tokens)])
    yield "guessed", Measured(server, [ask([301] + prompt, o.tokens, guess=True)])


def whole(case, server, o):
    """What a case took. llama-server fails where an answer is no whole characters, as random weights make them."""
    for _ in range(20):
        try:
            return list(case(server, o))
        except urllib.error.HTTPError as error:
            last = error
    sys.exit(f"{server.name}: {last.read().decode(errors='replace')}")


def spread(values, digits=2):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minnow", required=True)
    parser.add_argument("--llama-server", required=True)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("-t", "--threads", type=int, default=1)
    parser.add_argument("-n", "--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--schema", type=pathlib.Path)
    parser.add_argument("--adapters", nargs="*", default=[], type=pathlib.Path)
    parser.add_argument("--draft")
    parser.add_argument("--peer-draft", action="append", default=[], help="a further word for llama-server; may be repeated")
    parser.add_argument("--port", type=int, default=50961)
    cases = dict(document=document, clients=clients, grammar=grammar, adapters=adapters, draft=draft)
    parser.add_argument("case", choices=cases)
    o = parser.parse_args()
    if o.case == "adapters" and len(o.adapters) != 8:
        parser.error("adapters: give eight of them with --adapters")
    if o.case == "draft" and not o.draft:
        parser.error("draft: give one with --draft")
    o.schema_text = o.schema.read_text() if o.schema else '{"type": "string"}'
    o.context = 1024
    o.slots = dict(clients=4, adapters=8).get(o.case, 1)
    random.seed(1)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        stubs(folder)
        servers = []
        for kind in (Minnow, Peer):
            servers.append(kind(o))
            stack.callback(servers[-1].close)
        found, loads = {}, []
        for number in range(o.rounds + 1):
            for server in servers if number % 2 else servers[::-1]:
                loads.append(os.getloadavg()[0])
                for what, m in whole(cases[o.case], server, o):
                    if number > 0:  # the first warms up
                        found.setdefault((server.name, what), []).append(m)
            print(f"round {number} of {o.rounds}, load {loads[-1]:.1f}", file=sys.stderr)
    print(f"{pathlib.Path(o.model).name}, {o.threads} threads, {o.rounds} rounds, load {min(loads):.1f} to {max(loads):.1f}\n")
    print("| | | tokens of prompts computed | of answers | ms of processor time per token of the answer "
          "| of the first row's, within a round | s of the clock |\n|---|---|---|---|---|---|---|")
    first = {}
    for (name, what), runs in found.items():
        first.setdefault(name, runs)
        per = [1e3 * m.cpu / m.answer for m in runs]
        base = [m.cpu / m.answer for m in first[name]]
        print(f"| {name} | {what} | {statistics.median([m.prompt for m in runs]):.0f} | {statistics.median([m.answer for m in runs]):.0f} "
              f"| {spread(per, 1)} | {spread([p / b / 1e3 for p, b in zip(per, base)])} | {spread([m.wall for m in runs])} |")


if __name__ == "__main__":
    main()
