"""The words of budapp: what is done, and to what. `str()` of a member is its value."""

from __future__ import annotations

from enum import StrEnum


class AuditActionEnum(StrEnum):
    """What was done."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"
    LOGIN = "login"
    LOGOUT = "logout"
    LOGIN_FAILED = "login_failed"
    TOKEN_REFRESH = "token_refresh"
    PASSWORD_CHANGE = "password_change"
    PASSWORD_RESET = "password_reset"
    ACCESS_GRANTED = "access_granted"
    ACCESS_DENIED = "access_denied"
    PERMISSION_CHANGED = "permission_changed"
    ROLE_ASSIGNED = "role_assigned"
    ROLE_REMOVED = "role_removed"
    MODEL_DEPLOYED = "model_deployed"
    MODEL_UNDEPLOYED = "model_undeployed"
    ENDPOINT_PUBLISHED = "endpoint_published"
    ENDPOINT_UNPUBLISHED = "endpoint_unpublished"
    INFERENCE_REQUEST = "inference_request"
    CLUSTER_REGISTERED = "cluster_registered"
    CLUSTER_UPDATED = "cluster_updated"
    CLUSTER_DELETED = "cluster_deleted"
    CLUSTER_HEALTH_CHECK = "cluster_health_check"
    DATA_EXPORT = "data_export"
    DATA_IMPORT = "data_import"
    DATA_DOWNLOAD = "data_download"
    DATA_UPLOAD = "data_upload"
    CONFIG_CHANGED = "config_changed"
    SYSTEM_ERROR = "system_error"
    WORKFLOW_STARTED = "workflow_started"
    WORKFLOW_COMPLETED = "workflow_completed"
    WORKFLOW_FAILED = "workflow_failed"


class AuditResourceTypeEnum(StrEnum):
    """What it was done to. `BILLING` and `RESOURCE` are in the document, and were never in the code."""

    USER = "user"
    PROJECT = "project"
    MODEL = "model"
    ENDPOINT = "endpoint"
    DEPLOYMENT = "deployment"
    DATASET = "dataset"
    CLUSTER = "cluster"
    SESSION = "session"
    TOKEN = "token"
    ROLE = "role"
    PERMISSION = "permission"
    API_KEY = "api_key"
    WORKFLOW = "workflow"
    JOB = "job"
    TASK = "task"
    EXPERIMENT = "experiment"
    CONFIG = "config"
    SETTING = "setting"
    SECRET = "secret"
    FILE = "file"
    BUCKET = "bucket"
    DATABASE = "database"
    METRIC = "metric"
    LOG = "log"
    ALERT = "alert"
    NOTIFICATION = "notification"
    SYSTEM = "system"
    SERVICE = "service"
    GUARDRAIL = "guardrail"
    BILLING = "billing"
    RESOURCE = "resource"


#: What ended badly, whatever `success` says.
OUTCOMES: dict[str, str] = {
    AuditActionEnum.ACCESS_DENIED: "denied",
    AuditActionEnum.LOGIN_FAILED: "failure",
    AuditActionEnum.WORKFLOW_FAILED: "failure",
    AuditActionEnum.SYSTEM_ERROR: "failure",
}

AUTHENTICATION = ("login", "logout", "token_", "password_")
AUTHORIZATION = ("access_", "permission_", "role_")
CHANGES = ("create", "update", "delete", "import", "upload", "deploy", "publish", "register")


def category_of(action: str, resource_type: str) -> str:
    """The category of an event, by which policies and sampling go."""
    if action.startswith(AUTHENTICATION):
        return "authentication"
    if action.startswith(AUTHORIZATION):
        return "authorization"
    if action.startswith("workflow_"):
        return "workflow"
    if action == "config_changed" or resource_type in ("config", "setting"):
        return "config_change"
    if resource_type in ("api_key", "secret"):
        return "secret_access"
    return "data_change" if any(word in action for word in CHANGES) else "data_access"
