"""What stands around the blocks of document 003: budapp, as small as it can be."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, ClassVar
from uuid import UUID, uuid4

from pydantic import BaseModel

Fields = ClassVar[dict[str, Any]]
USER = UUID("018f3e1a-7c2b-4d4e-9f10-123456789abc")


class SessionUntouched:
    """A session that must not be looked at: whatever is asked of it fails."""

    def __getattribute__(self, name: str) -> Any:
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

    fields: Fields = {}

    def __init__(self, session: Any) -> None:
        self.one = thing(**self.fields)

    def __getattr__(self, name: str) -> Any:
        async def call(*given: Any) -> SimpleNamespace:
            for one in given:
                if isinstance(one, dict):
                    if one.get("name") == "broken":
                        raise ValueError("the cluster cannot be reached")
                    vars(self.one).update(one)
            return self.one

        return call


class ModelDataManager(DataManager):
    fields: Fields = {
        "name": "llama",
        "model_type": "llm",
        "provider": "hf",
        "version": "3",
        "source": "local",
        "deployment_count": 2,
    }


class EndpointDataManager(DataManager):
    fields: Fields = {
        "name": "chat",
        "model_id": uuid4(),
        "cluster_id": uuid4(),
        "replicas": 3,
        "status": EndpointStatusEnum.RUNNING,
    }


class ClusterDataManager(DataManager):
    fields: Fields = {
        "name": "east",
        "provider": "aws",
        "region": "eu",
        "node_count": 4,
        "hardware_type": "gpu",
    }


class CredentialDataManager(DataManager):
    fields: Fields = {"name": "openai", "credential_type": "api", "project_id": uuid4()}


class UserDataManager(DataManager):
    fields: Fields = {"role": "viewer", "email": "ana@example.com", "is_active": True}


class BillingDataManager(DataManager):
    fields: Fields = {
        "type": "team",
        "plan": "gold",
        "billing_cycle": "monthly",
        "amount": 90,
        "remaining_credit": 12.5,
    }


class WorkflowDataManager(DataManager):
    fields: Fields = {
        "type": "deploy",
        "name": "roll out",
        "parameters": {"replicas": 2},
        "created_by": USER,
    }

    def __init__(self, session: Any) -> None:
        super().__init__(session)
        # The document takes it from `datetime.now()`, so it has no time zone.
        self.one.created_at = datetime.now() - timedelta(minutes=3)


class WorkflowEngine:
    @staticmethod
    async def start(workflow_id: UUID) -> None:
        return None


class DatasetDataManager(DataManager):
    fields: Fields = {
        "name": "mails",
        "size": 4096,
        "format": "parquet",
        "project_id": uuid4(),
        "storage_path": "/d",
    }


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
