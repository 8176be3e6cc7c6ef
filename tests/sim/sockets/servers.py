"""The two servers of a session."""

import json
import os
import re
import subprocess
import time


class Servers:
    """The settings of a session, and how each server gets them."""

    def __init__(self, world, user, certificate, timeout):
        settings = world.settings
        self.host = "::1" if settings["address"].startswith("[") else "127.0.0.1"
        encodings = {
            "Utf8": ("utf-8", "replace"),
            "Utf8Strict": ("utf-8", "strict"),
            "Latin1": ("latin-1", "replace"),
        }
        encoding, errors = encodings[settings["encoding"]]
        self.encoding = encoding
        self.handler = {
            "timeout": timeout,
            "banner": settings["banner"].decode(),
            "max_login_attempts": int(settings["max_login_attempts"]),
            "auth_failed_timeout": 0.01,
            "permit_foreign_addresses": settings["permit_foreign"] == "true",
            "permit_privileged_ports": settings["permit_privileged"] == "true",
            "encoding": encoding,
            "unicode_errors": errors,
        }
        self.tls = {}
        if settings["tls"] != "Off":
            required = settings["tls"] != "On"
            self.tls = {
                "certfile": certificate,
                "tls_control_required": required,
                "tls_data_required": settings["tls"] == "AllRequired",
            }
        self.user = {
            "name": user["name"].decode(),
            "password": user["password"].decode(),
            "perm": user["perms"].decode(),
            "msg_login": user["msg_login"].decode(),
            "msg_quit": user["msg_quit"].decode(),
        }

    def start_ours(self, program, directory, home):
        server = {"address": self.host, "port": 0}
        sections = {"[server]": server, "[handler]": self.handler}
        if self.tls:
            sections["[tls]"] = self.tls
        sections["[[users]]"] = {**self.user, "home": home}
        path = os.path.join(directory, "config.toml")
        with open(path, "w", encoding="utf-8") as file:
            for name, values in sections.items():
                print(name, file=file)
                for key, value in values.items():
                    print(f"{key} = {json.dumps(value)}", file=file)
        log = open(os.path.join(directory, "log"), "wb")
        command = [program, "--config", path]
        child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            with open(log.name, "rb") as file:
                text = file.read()
            match = re.search(rb"starting FTP server on \S*:(\d+)[, ]", text)
            if match:
                log.close()
                return child.pid, int(match[1])
            if child.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{program} does not start: {text.decode()}")
            time.sleep(0.002)

    def start_theirs(self, home):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                self.serve(home, writer)
            finally:
                os._exit(1)
        os.close(writer)
        with os.fdopen(reader) as file:
            return pid, int(file.readline())

    def serve(self, home, pipe):
        import logging

        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
        from pyftpdlib.servers import FTPServer

        logging.disable(logging.CRITICAL)
        user = dict(self.user)
        authorizer = DummyAuthorizer()
        authorizer.add_user(user.pop("name"), user.pop("password"), home, **user)
        base = TLS_FTPHandler if self.tls else FTPHandler
        attributes = {**self.handler, **self.tls, "authorizer": authorizer}
        server = FTPServer((self.host, 0), type("Handler", (base,), attributes))
        os.write(pipe, b"%d\n" % server.address[1])
        server.serve_forever()
