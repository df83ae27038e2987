"""Requests to hosts, under the rule of who may be believed.

Plain http from another machine, and https with a certificate that is not valid, do not prove who answers. A
file from such a host is as good as any other where its whole sha256 is known, for that proves the file; in
every other case the host is refused. The few digits that a name carries show damage; they authorise nothing,
for anybody can make a file that has them.
"""

import http.client
import ssl
import urllib.error
import urllib.request
from typing import IO, Any
from urllib.parse import urlsplit

from headstart.catalog.addresses import host_of, is_loopback, is_plain_http
from headstart.core.errors import RefusedSourceError, WeightsError
from headstart.core.progress import Progress

_ONLY_WITH_DIGEST = "which is used only where the file's whole sha256 is known"


class Channel:
    """Opens addresses for one file.

    Attributes:
        digest_known: whether the file's whole sha256 is known, so that any host may serve it.
    """

    def __init__(self, *, digest_known: bool, progress: Progress) -> None:
        self.digest_known = digest_known
        self._progress = progress
        self._context = ssl.create_default_context()

    def open(self, request: urllib.request.Request, *, timeout: float) -> http.client.HTTPResponse:
        """Return the answer to `request`.

        Raises:
            RefusedSourceError: a host on the way proves nothing, and the whole sha256 is not known.
            WeightsError: a redirect leads to another kind of address than http and https.
            OSError, http.client.HTTPException: as urllib raises them.
        """
        if is_plain_http(request.full_url) and not self.digest_known:
            raise RefusedSourceError(f"{host_of(request.full_url)}: plain http, {_ONLY_WITH_DIGEST}")
        redirects = _Redirects(request.full_url, digest_known=self.digest_known)
        try:
            return self._answer(request, redirects, timeout)
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ssl.SSLCertVerificationError):
                raise
            host, flaw = host_of(redirects.address), error.reason.verify_message
            if not self.digest_known:
                raise RefusedSourceError(
                    f"{host}: its certificate is not valid ({flaw}), {_ONLY_WITH_DIGEST}"
                ) from error
            self._progress.note(f"{host}: its certificate is not valid ({flaw}); the sha256 proves the file")
        self._context = _unchecked()
        return self._answer(request, redirects, timeout)

    def _answer(
        self, request: urllib.request.Request, redirects: "_Redirects", timeout: float
    ) -> http.client.HTTPResponse:
        response: http.client.HTTPResponse = self._opener(redirects).open(request, timeout=timeout)
        return response

    def _opener(self, redirects: "_Redirects") -> urllib.request.OpenerDirector:
        # Made by hand: the ready-made one also opens file:, ftp: and data: addresses.
        opener = urllib.request.OpenerDirector()
        for handler in (
            _Proxies(),
            urllib.request.UnknownHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=self._context),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            redirects,
        ):
            opener.add_handler(handler)
        return opener


def _unchecked() -> ssl.SSLContext:
    """Return a context that takes every certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False  # first, for Python refuses the other order
    context.verify_mode = ssl.CERT_NONE
    return context


class _Proxies(urllib.request.ProxyHandler):
    """The proxies that the environment names, but none on the way to this machine itself."""

    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:
        if is_loopback(urlsplit(req.full_url).hostname or ""):
            return None  # plain http is believed there because nobody stands in between
        return super().proxy_open(req, proxy, type)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https, and down to plain http only for a file whose sha256 is known."""

    def __init__(self, address: str, *, digest_known: bool) -> None:
        self.address = address  # the one asked last
        self._digest_known = digest_known

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme.lower()
        begin = f"{host_of(req.full_url)}: redirects to {scheme}://"
        if scheme not in ("http", "https"):
            fp.close()
            raise WeightsError(f"{begin}, which is not followed")
        is_worse = is_plain_http(newurl) or (scheme == "http" and req.type == "https")
        if is_worse and not self._digest_known:
            fp.close()
            raise RefusedSourceError(
                f"{begin}, which is followed only where the file's whole sha256 is known"
            )
        self.address = newurl
        return super().redirect_request(req, fp, code, msg, headers, newurl)
