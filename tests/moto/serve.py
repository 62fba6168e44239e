"""moto's server with a log of every request and faults on demand, in a process of its own.

Started by tests/moto/fixtures.py: `python serve.py`; prints its port. Besides AWS it answers
`/_trueup/log` (GET), `/_trueup/fault` (POST) and `/_trueup/reset` (POST).
"""

from __future__ import annotations

import io
import json
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

SERVICE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/")
ACTION = re.compile(rb"(?:^|&)Action=([A-Za-z0-9]+)")
# The parameters that name the object of a request, by the last part of a URL or an ARN where they are one.
NAMES = ("QueueUrl", "QueueName", "TopicArn", "ResourceArn", "Name", "ResourceId")
SUBRESOURCES = {
    "encryption": "BucketEncryption",
    "lifecycle": "BucketLifecycleConfiguration",
    "ownershipControls": "BucketOwnershipControls",
    "publicAccessBlock": "PublicAccessBlock",
    "tagging": "BucketTagging",
    "versioning": "BucketVersioning",
    "versions": "ObjectVersions",
}
READS = ("Get", "List", "Describe", "Head", "AssumeRole")
QUEUE_ATTRIBUTE = "RedriveAllowPolicy"

Environ = dict[str, Any]
Start = Callable[..., Any]


class Recorder:
    """A WSGI application around moto's: logs, fails and drops what it is told to."""

    def __init__(self, inner: Callable[[Environ, Start], Iterable[bytes]], reset: Callable[[], None]) -> None:
        self._inner = inner
        self._reset = reset
        self._lock = threading.Lock()
        self._log: list[dict[str, Any]] = []
        self._faults: list[dict[str, Any]] = []

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith("/_trueup/"):
            return self._control(path.rpartition("/")[2], environ, start)
        action = _action_of(environ)
        with self._lock:
            verb = action.partition(":")[2]
            is_write = not verb.startswith(READS)
            self._log.append({"action": action, "is_write": is_write, "subject": _subject_of(environ)})
            fault = self._take_fault(action)
        if fault is None:
            return self._inner(environ, start)
        if fault["mode"] == "answer":
            return _answer(start, "200 OK", "application/x-amz-json-1.0", fault["body"])
        if fault["mode"] == "fail":
            return _answer_error(environ, start, fault)
        for _chunk in self._inner(environ, lambda *_args, **_more: lambda _data: None):
            pass
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionResetError("the answer is lost on purpose")

    def _take_fault(self, action: str) -> dict[str, Any] | None:
        for fault in self._faults:
            if fault["action"] != action:
                continue
            if fault["skip"] > 0:
                fault["skip"] -= 1
            elif fault["times"] > 0:
                fault["times"] -= 1
                return fault
        return None

    def _control(self, command: str, environ: Environ, start: Start) -> Iterable[bytes]:
        text = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with self._lock:
            if command == "fault":
                self._faults.append(json.loads(text))
            if command == "reset":
                self._faults.clear()
                self._reset()
            body = json.dumps(self._log if command == "log" else []).encode()
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]


def _action_of(environ: Environ) -> str:
    found = SERVICE.search(environ.get("HTTP_AUTHORIZATION", ""))
    service = found.group(1) if found else "?"
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return f"{service}:{target.rpartition('.')[2]}"
    if service == "s3":
        return f"s3:{_bucket_action(environ)}"
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    named = ACTION.search(body)
    return f"{service}:{named.group(1).decode() if named else environ['PATH_INFO']}"


def _subject_of(environ: Environ) -> str:
    """The name of the object that a request is about; empty where it is about many."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    if environ.get("HTTP_X_AMZ_TARGET"):
        given = json.loads(body or b"{}")
    elif ACTION.search(body):
        given = {key: values[0] for key, values in parse_qs(body.decode()).items()}
    else:
        return str(environ["PATH_INFO"].strip("/").partition("/")[0])
    named = next((given[key] for key in NAMES if given.get(key)), "")
    return str(named) if named.startswith("/") else re.split("[/:]", named)[-1]


def _bucket_action(environ: Environ) -> str:
    method, parts = environ["REQUEST_METHOD"], environ["PATH_INFO"].strip("/").split("/")
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    verb = {"GET": "Get", "PUT": "Put", "DELETE": "Delete", "HEAD": "Head", "POST": "Post"}[method]
    for key, noun in SUBRESOURCES.items():
        if key in query:
            return verb + noun
    if parts == [""]:
        return "ListBuckets"
    if len(parts) > 1:
        return f"{verb}Object"
    return {"Put": "CreateBucket", "Get": "ListObjects"}.get(verb, f"{verb}Bucket")


def _answer_error(environ: Environ, start: Start, fault: dict[str, Any]) -> Iterable[bytes]:
    code, message = fault["code"], fault["message"]
    if environ.get("HTTP_X_AMZ_TARGET"):
        kind, body = "application/x-amz-json-1.0", json.dumps({"__type": code, "message": message})
    else:
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        is_bucket = _action_of(environ).startswith("s3:")
        kind, body = "application/xml", error if is_bucket else f"<ErrorResponse>{error}</ErrorResponse>"
    return _answer(start, f"{fault['status']} Fault", kind, body)


def _answer(start: Start, status: str, kind: str, body: str) -> Iterable[bytes]:
    data = body.encode()
    start(status, [("Content-Type", kind), ("Content-Length", str(len(data)))])
    return [data]


def _complete_moto() -> None:
    """Adds what AWS does and moto leaves out: an attribute of queues, and tags in CreateBucket."""
    import xmltodict
    from moto.s3.responses import S3Response
    from moto.sqs.models import Queue

    if QUEUE_ATTRIBUTE not in Queue.BASE_ATTRIBUTES:
        Queue.BASE_ATTRIBUTES.append(QUEUE_ATTRIBUTE)
        Queue.redrive_allow_policy = None
    put = S3Response._bucket_response_put

    def put_with_tags(self: Any, request: Any, bucket: str, query: dict[str, Any]) -> Any:
        is_new = not query and bucket not in self.backend.buckets
        answer = put(self, request, bucket, query)
        if is_new and b"<Tags>" in self.body:
            document = xmltodict.parse(self.body, force_list=("Tag",))
            tags = document["CreateBucketConfiguration"]["Tags"]["Tag"]
            self.backend.put_bucket_tagging(bucket, {tag["Key"]: tag["Value"] or "" for tag in tags})
        return answer

    S3Response._bucket_response_put = put_with_tags


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    os.environ["MOTO_PORT"] = str(port)

    from moto.core.base_backend import BackendDict
    from moto.core.model_instances import reset_model_data
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log(self, type: str, message: str, *args: Any) -> None:
            """Keeps quiet: the recorder has the log."""

    def reset() -> None:
        BackendDict.reset()
        reset_model_data()

    _complete_moto()
    application = DomainDispatcherApplication(create_backend_app)
    recorder = Recorder(application, reset)
    server = make_server(
        "127.0.0.1", port, recorder, threaded=True, request_handler=Handler, fd=listener.fileno()
    )
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
