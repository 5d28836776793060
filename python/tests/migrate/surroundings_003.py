"""What stands around the blocks of document 003: budapp, as small as it can be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel

USER = UUID("018f3e1a-7c2b-4d4e-9f10-123456789abc")


class SessionUntouched:
    """A session that must not be looked at: whatever is asked of it fails."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return object  # whoever looks through all objects sees it
        raise AssertionError(f"the session was touched: {name}")


class SessionMixin:
    """Holds a session, as budapp's services do."""

    def __init__(self, session: Any) -> None:
        self.session = session


class EndpointStatusEnum(StrEnum):
    RUNNING = "running"
    UNPUBLISHED = "unpublished"


class User(BaseModel):
    id: UUID = USER


def get_current_active_user() -> User:
    return User()


def get_session() -> SessionUntouched:
    return SessionUntouched()


def thing(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(id=uuid4(), **fields)


class DataManager:
    """Gives back one thing whatever is asked of it, changed as it was told."""

    def __init__(self, **fields: Any) -> None:
        self.one = thing(**fields)

    def __getattr__(self, name: str) -> Any:
        async def call(*given: Any) -> SimpleNamespace:
            for one in given:
                if isinstance(one, dict):
                    if one.get("name") == "broken":
                        raise ValueError("the cluster cannot be reached")
                    vars(self.one).update(one)
            return self.one

        return call


def manager(**fields: Any) -> Callable[[Any], DataManager]:
    """What makes a manager of such things from a session."""
    return lambda session: DataManager(**{name: make() if callable(make) else make for name, make in fields.items()})


def three_minutes_ago() -> datetime:
    # The document takes it from `datetime.now()`, so that it has no time zone.
    return datetime.now() - timedelta(minutes=3)


ModelDataManager = manager(name="llama", model_type="llm", provider="hf", version="3", source="local", deployment_count=2)
EndpointDataManager = manager(name="chat", model_id=uuid4, cluster_id=uuid4, replicas=3, status=EndpointStatusEnum.RUNNING)
ClusterDataManager = manager(name="east", provider="aws", region="eu", node_count=4, hardware_type="gpu")
CredentialDataManager = manager(name="openai", credential_type="api", project_id=uuid4)
UserDataManager = manager(role="viewer", email="ana@example.com", is_active=True)
BillingDataManager = manager(type="team", plan="gold", billing_cycle="monthly", amount=90, remaining_credit=12.5)
WorkflowDataManager = manager(
    type="deploy", name="roll out", parameters={"replicas": 2}, created_by=USER, created_at=three_minutes_ago
)
DatasetDataManager = manager(name="mails", size=4096, format="parquet", project_id=uuid4, storage_path="/datasets/mails")


class WorkflowEngine:
    @staticmethod
    async def start(workflow_id: UUID) -> None:
        return None


class StorageService:
    @staticmethod
    async def upload(file_path: str, storage_path: str) -> None:
        return None


class ResourceCreateRequest(BaseModel):
    name: str


ResourceUpdateRequest = ResourceCreateRequest


class ResourceResponse(BaseModel):
    resource: dict[str, Any]


class SuccessResponse(BaseModel):
    message: str
