"""A small stand-in for a running WebUI."""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MADE = (200, {"images": ["R0lGODlh"], "info": "{}", "parameters": {}})
WELL = (200, {"progress": 0.0, "state": {}})
DROP = "drop"


class StandIn:
    """A WebUI that gives each request the next of its `answers`, the last of them for ever; `DROP` ends the connection."""

    def __init__(self, *answers, progress=WELL, seconds=0.05):
        self.answers, self.progress, self.seconds = list(answers), progress, seconds
        self.asked, self.heads, self.at_once = [], [], 0
        self._lock = threading.Lock()
        self.server = None
        self.port = 0
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def next_answer(self, path, body, headers):
        with self._lock:
            self.at_once += 1
            assert self.at_once == 1, "a WebUI gets one request at a time"
            self.asked.append((path, body))
            self.heads.append(headers)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        time.sleep(self.seconds)
        with self._lock:
            self.at_once -= 1
        return answer(body) if callable(answer) else answer

    def _handler(self):
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self._say(stand_in.progress if self.path.startswith("/sdapi/v1/progress") else (404, {}))

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = stand_in.next_answer(self.path, body, dict(self.headers))
                if answer == DROP:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self._say(answer)

            def _say(self, answer):
                status, said = answer
                text = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass

        return Handler
