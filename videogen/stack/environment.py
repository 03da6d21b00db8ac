"""What other processes need to know to reach the stack, as environment variables."""

from videogen.config.settings import Settings, environment_value
from videogen.stack import lifecycle, state
from videogen.stack.credentials import (
    PROFILE,
    WITHOUT_OTHER_KEYS,
    credentials_file,
    read_credentials,
)
from videogen.stack.mlflow_server import MlflowServer, sqlite_uri
from videogen.stack.prefect_server import PrefectServer, prefect_home
from videogen.stack.ray_head import RayHead, token_environment
from videogen.stack.seaweedfs import REGION, SeaweedFS
from videogen.stack.service import LOOPBACK, Service

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def s3_environment(settings: Settings) -> dict[str, str | None]:
    """How a process of ours reaches the embedded S3, by the path of the keys; {} if it is down."""
    endpoint_url = _address(SeaweedFS(), settings)
    if endpoint_url is None:
        return {}
    return {
        **WITHOUT_OTHER_KEYS,
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials_file(settings)),
        "AWS_PROFILE": PROFILE,
        **_s3_places(endpoint_url),
        "AWS_ENDPOINT_URL_S3": None,
        **_beside_proxies(),
    }


def services_environment(settings: Settings) -> dict[str, str | None]:
    """How a process of ours reaches the stack's MLflow, Prefect and Ray, those that run."""
    variables: dict[str, str | None] = {}
    if (tracking_uri := _address(MlflowServer(), settings)) is not None:
        variables["MLFLOW_TRACKING_URI"] = tracking_uri
    if (api_url := _address(PrefectServer(), settings)) is not None:
        variables |= {"PREFECT_API_URL": api_url, "PREFECT_HOME": str(prefect_home(settings))}
    if (ray_address := _address(RayHead(), settings)) is not None:
        variables |= {"RAY_ADDRESS": ray_address, **token_environment(settings)}
    return {**variables, **_beside_proxies()} if variables else {}


def environment(settings: Settings) -> dict[str, str | None]:
    """Changes to the environment of our processes: the embedded S3 and the services that run.

    No value is a secret: keys and tokens are named by the path of a file of mode 0600.
    """
    return {**s3_environment(settings), **services_environment(settings)}


def exports(settings: Settings) -> dict[str, str]:
    """What a shell exports so that any S3 tool, MLflow, Prefect and Ray find the stack.

    The actual S3 keys are among the values.
    """
    variables = {
        name: value for name, value in services_environment(settings).items() if value is not None
    }
    variables.setdefault("MLFLOW_TRACKING_URI", tracking_uri(settings))
    endpoint_url = _address(SeaweedFS(), settings)
    if endpoint_url is None:
        return variables
    keys = read_credentials(settings)
    variables |= {
        "AWS_ACCESS_KEY_ID": keys.access_key_id,
        "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
        **_s3_places(endpoint_url),
        **_beside_proxies(),
    }
    for name in ("AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        if environment_value(name) is not None:
            variables[name] = "" if name == "AWS_SESSION_TOKEN" else endpoint_url
    return variables


def tracking_uri(settings: Settings) -> str:
    """The stack's MLflow server where it runs, else the SQLite file that it serves."""
    return _address(MlflowServer(), settings) or sqlite_uri(settings)


def _address(service: Service, settings: Settings) -> str | None:
    record = state.load(settings.state_dir).services.get(service.name)
    return service.address(record.ports) if record and lifecycle.runs(record) else None


def _s3_places(endpoint_url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "MLFLOW_S3_ENDPOINT_URL": endpoint_url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }


def _beside_proxies() -> dict[str, str]:
    """Where a proxy is set, requests to loopback must not go through it."""
    if not any(environment_value(name) for name in _PROXIES):
        return {}
    return {
        name: ",".join(filter(None, (environment_value(name), LOOPBACK, "localhost")))
        for name in ("NO_PROXY", "no_proxy")
    }
