"""Authentication of reports: from a token to the attempt of its pod."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from trainyard_api import meta
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.errors import ApiError, NotFoundError
from trainyard_operator.kube.port import PODS, KubePort, TokenIdentity
from trainyard_operator.kube.ratelimit import TokenBucket
from trainyard_operator.progress.cache import TimedCache
from trainyard_operator.progress.jobs import JobDirectory
from trainyard_operator.progress.keys import POD_NAME, POD_UID, TokenReviewer
from trainyard_operator.progress.refused import RefusedError
from trainyard_operator.progress.token import ClaimedToken
from trainyard_operator.runtime.directory import JobFacts

REVIEW_SECONDS = 60.0
"""How long the result of a token review is cached, valid or not. A deleted pod can report no longer than this."""
OWNER_SECONDS = 3600.0
"""The controller of a pod never changes; the limit only bounds the memory."""
CACHE_SIZE = 4096
UNAVAILABLE_SECONDS = 5.0

INVALID_TOKEN_RATE = 1.0
INVALID_TOKEN_BURST = 50.0
"""Limits of invalid tokens per source address. More are refused without a review.

Valid tokens do not count, so pods that share an address do not affect each other.
"""


class Buckets:
    """Token buckets by key, for the most recently used keys."""

    def __init__(self, make: Callable[[], TokenBucket], size: int = CACHE_SIZE) -> None:
        self._make = make
        self._size = size
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def of(self, key: Hashable) -> TokenBucket:
        """Return the bucket of ``key``. A new key gets a full one."""
        bucket = self._buckets.pop(key, None) or self._make()
        self._buckets[key] = bucket
        if len(self._buckets) > self._size:
            self._buckets.popitem(last=False)
        return bucket


@dataclass(frozen=True)
class Owner:
    """The Job that controls a pod, and the uid of its object in the pod's labels. The label is a claim, not a proof."""

    job: str
    claims: str


@dataclass(frozen=True)
class Target:
    """The object that a report is about, as its path names it."""

    plural: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.plural} {self.namespace}/{self.name}"

    def audience(self, uid: str) -> str:
        """Return the audience of a token for the object with this uid."""
        return meta.token_audience(self.namespace, self.name, uid, plural=self.plural)

    def is_named_by(self, token: ClaimedToken) -> bool:
        """Return whether a token is for this object, or for an earlier one with its name."""
        return any(audience.startswith(self.audience("")) for audience in token.audiences)


@dataclass(frozen=True)
class Sender:
    """An authenticated pod: the facts of its job, and its attempt."""

    facts: JobFacts
    attempt: int


class Authenticator:
    """Authenticate the sender of a token. The claims in the token are checked first, because that needs no API call."""

    def __init__(self, port: KubePort, directory: JobDirectory, tokens: TokenReviewer | None = None) -> None:
        """Create an authenticator.

        ``tokens`` reviews tokens; ``None`` means the API server does so, with TokenReview.
        """
        self._port = port
        self._tokens = tokens or port
        self._directory = directory
        self._verdicts: TimedCache[tuple[bytes, str], TokenIdentity | None] = TimedCache(REVIEW_SECONDS, CACHE_SIZE)
        self._owners: TimedCache[tuple[str, str, str], Owner | None] = TimedCache(OWNER_SECONDS, CACHE_SIZE)
        self._invalid_tokens = Buckets(lambda: TokenBucket(INVALID_TOKEN_RATE, INVALID_TOKEN_BURST))

    async def sender(self, token: ClaimedToken, target: Target, source: str) -> Sender:
        """Return the sender if it may report for this object.

        Raises
        ------
        RefusedError
            401 for an invalid token. 403 for a token of another sender. 404 for an unknown object. 429 for a source
            with too many invalid tokens. 503 if the API server does not respond, or the Job is not known yet.
        """
        if token.namespace != target.namespace or not target.is_named_by(token):
            raise RefusedError(403, f"the token is not valid for {target}")
        facts = self._directory.find(target.plural, target.namespace, target.name)
        if facts is None:
            raise RefusedError(404, f"{target} is not known")
        audience = target.audience(facts.uid)
        if audience not in token.audiences:
            raise RefusedError(403, f"the token is for an earlier object with the name of {target}")
        try:
            identity = await self._verdicts.get((token.digest, audience), lambda: self._review(token, audience, source))
            if identity is None:
                raise RefusedError(401, "the token is invalid or has expired")
            owner = await self._owner(target.namespace, identity)
        except ApiError as error:
            raise RefusedError(
                503, "the API server cannot verify the token now", retry_after=UNAVAILABLE_SECONDS
            ) from error
        attempt = facts.attempt_job_uids.get(owner.job) if owner is not None else None
        if attempt is None and owner is not None and owner.claims == facts.uid:
            raise RefusedError(503, "the Job of this pod is not known yet", retry_after=UNAVAILABLE_SECONDS)
        if attempt is None:
            raise RefusedError(403, f"the token belongs to a pod that is not part of {target}")
        return Sender(facts, attempt)

    async def _review(self, token: ClaimedToken, audience: str, source: str) -> TokenIdentity | None:
        invalid_tokens = self._invalid_tokens.of(source)
        if wait := invalid_tokens.refuse():
            raise RefusedError(429, "too many invalid tokens from this address", retry_after=wait)
        identity = await self._tokens.review_token(token.value, audience)
        if identity is not None:
            invalid_tokens.give_back()
        return identity

    async def _owner(self, namespace: str, identity: TokenIdentity) -> Owner | None:
        """Return the Job that controls the token's pod."""
        names, uids = identity.extra.get(POD_NAME, ()), identity.extra.get(POD_UID, ())
        if len(names) != 1 or len(uids) != 1:
            raise RefusedError(403, "the token is not bound to a pod; use the projected token of the trainer's pod")
        pod, uid = names[0], uids[0]
        return await self._owners.get((namespace, pod, uid), lambda: self._read_owner(namespace, pod, uid))

    async def _read_owner(self, namespace: str, name: str, uid: str) -> Owner | None:
        try:
            pod = await self._port.get(PODS, namespace, name)
        except NotFoundError:
            return None
        return _controlling_job(pod) if pod["metadata"].get("uid") == uid else None


def _controlling_job(pod: Body) -> Owner | None:
    labels = pod["metadata"].get("labels") or {}
    claims = str(labels.get(meta.UID_LABEL) or labels.get(meta.PREDICTION_UID_LABEL) or "")
    for owner in pod["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner.get("kind") == "Job":
            return Owner(str(owner["uid"]), claims)
    return None
