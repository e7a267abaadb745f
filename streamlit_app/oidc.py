"""Sign-in with the company's accounts: the section `[auth]` of secrets.toml, which Streamlit goes by.

Streamlit itself looks at it only when somebody presses the button, and says what is missing in English; and where the
provider can't be reached, it leads to an empty page that says “Authentication error”.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
from pydantic import Field, SecretStr, ValidationError, field_validator

from modules.rewards.faults import Fault, faults_of, join_path
from modules.settings_section import Section

SHORTEST_COOKIE_SECRET = 32
PATIENCE_SECONDS = 5.0
"""As long as Streamlit waits for the provider."""
_CALLBACK = "/oauth2callback"

_Filled = Annotated[SecretStr, Field(min_length=1)]


class _Provider(Section):
    """An identity provider: in `[auth]` itself, or in an `[auth.NAME]` of its own. Values are never shown."""

    client_id: _Filled
    client_secret: _Filled
    server_metadata_url: SecretStr
    client_kwargs: Mapping[str, Any] = Field(default_factory=dict, repr=False)

    @field_validator("server_metadata_url")
    @classmethod
    def _is_address(cls, value: SecretStr) -> SecretStr:
        if not _is_web_address(value):
            raise ValueError("应以 https:// 开头，一般以 /.well-known/openid-configuration 结尾")
        return value


class _Shared(Section):
    """What `[auth]` says for all providers."""

    redirect_uri: SecretStr
    cookie_secret: SecretStr

    @field_validator("redirect_uri")
    @classmethod
    def _leads_back(cls, value: SecretStr) -> SecretStr:
        if not _is_web_address(value) or not value.get_secret_value().endswith(_CALLBACK):
            raise ValueError(f"应是看板的地址加 {_CALLBACK}，如 https://dashboard.example.com{_CALLBACK}")
        return value

    @field_validator("cookie_secret")
    @classmethod
    def _is_long(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < SHORTEST_COOKIE_SECRET:
            raise ValueError(f"太短，应是至少 {SHORTEST_COOKIE_SECRET} 个随机字符；谁猜得到它，谁就能冒充任何账号")
        return value


class _Whole(_Shared, _Provider):
    """`[auth]` that has its provider in itself."""


@dataclass(frozen=True)
class Provider:
    """What people may sign in with. `name` goes to st.login: None for the one that `[auth]` has in itself."""

    name: str | None
    metadata_url: str


def providers_of(section: object) -> tuple[tuple[Provider, ...], list[Fault]]:
    """The providers of `[auth]`, and what is wrong with it; with faults the former are not to be used."""
    if not isinstance(section, Mapping):
        return (), [Fault(_path("auth"), "应是一组键和值：[auth]")]
    named = {key: value for key, value in section.items() if isinstance(value, Mapping) and key != "client_kwargs"}
    direct = {key: value for key, value in section.items() if key not in named}
    has_own = not named or not _Provider.model_fields.keys().isdisjoint(direct)
    faults = _faults(_Whole if has_own else _Shared, direct, "auth")
    for name, provider in named.items():
        faults += _faults(_Provider, provider, f"auth.{name}")
        if "_" in name:
            faults.append(Fault(_path(f"auth.{name}"), "名字里不能有下划线，Streamlit 不认；请改名"))
    if faults:
        return (), faults
    own = (Provider(None, direct["server_metadata_url"]),) if has_own else ()
    return (*own, *(Provider(name, one["server_metadata_url"]) for name, one in named.items())), []


def trouble_with(provider: Provider) -> str | None:
    """Why nobody can be led to this provider now, asked as Streamlit will ask it; None where somebody can."""
    try:
        answer = httpx.get(provider.metadata_url, timeout=PATIENCE_SECONDS)
        is_described = answer.status_code == 200 and "authorization_endpoint" in answer.json()
    except httpx.TimeoutException:
        return "等不到答复"
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return f"连不上：{type(error).__name__}"
    except (TypeError, ValueError):
        is_described = False
    return None if is_described else f"server_metadata_url 给出的不是登录系统的说明（HTTP {answer.status_code}）"


def _faults(model: type[Section], values: Mapping[str, Any], root: str) -> list[Fault]:
    try:
        model.model_validate(values)
    except ValidationError as error:
        return faults_of(error, model, lambda location: _path(join_path(root, location)))
    return []


def _path(place: str) -> str:
    return f"secrets.toml: {place}"


def _is_web_address(value: SecretStr) -> bool:
    return value.get_secret_value().startswith(("https://", "http://"))
