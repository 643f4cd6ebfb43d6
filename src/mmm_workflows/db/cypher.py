"""Every statement of the graph: fixed text with parameters, for Neo4j and Ladybug alike.

Both keep two shapes: ``(:Entity)`` for nodes and ``[:LINK]`` for edges, each with its ``kind``.
Neo4j gives a node its kind as a second label too. Moments are microseconds since 1970 in UTC; an
end that is open is ``OPEN_START`` or ``OPEN_END``, since Ladybug takes no null beside a number in
a list of rows.
"""

from __future__ import annotations

from typing import Final, LiteralString

# Outside of what a datetime can say, inside of 64 bits.
OPEN_START: Final = -(2**62)
OPEN_END: Final = 2**62

LADYBUG_TABLES: Final[tuple[LiteralString, ...]] = (
    """
    CREATE NODE TABLE IF NOT EXISTS Entity(
        key STRING PRIMARY KEY, project STRING, node_id STRING, kind STRING, name STRING,
        properties STRING, workflow_id STRING, writers STRING, created_at INT64,
        schema_version INT64)
    """,
    """
    CREATE REL TABLE IF NOT EXISTS LINK(
        FROM Entity TO Entity, edge_id STRING, project STRING, source STRING, target STRING,
        kind STRING, evidence STRING, workflow_id STRING, valid_from INT64, valid_to INT64,
        created_at INT64, expired_at INT64, schema_version INT64)
    """,
)

NEO4J_SCHEMA: Final[tuple[LiteralString, ...]] = (
    "CREATE CONSTRAINT mmm_entity_key IF NOT EXISTS FOR (n:Entity) REQUIRE n.key IS UNIQUE",
    "CREATE CONSTRAINT mmm_link_edge_id IF NOT EXISTS FOR ()-[r:LINK]-() REQUIRE r.edge_id IS UNIQUE",
    "CREATE INDEX mmm_entity_project IF NOT EXISTS FOR (n:Entity) ON (n.project)",
    "CREATE INDEX mmm_link_project IF NOT EXISTS FOR ()-[r:LINK]-() ON (r.project)",
)
NEO4J_AWAIT_INDEXES: Final = "CALL db.awaitIndexes(60)"
ANSWER: Final = "RETURN 1"

# What is there stays as it is, and is not locked: Neo4j may lose it to a deletion until LOCK_NODES.
MERGE_NODES: Final = """
    UNWIND $rows AS row
    MERGE (n:Entity {key: row.key})
    ON CREATE SET n.project = row.project, n.node_id = row.node_id, n.kind = row.kind,
        n.name = row.name, n.properties = row.properties, n.workflow_id = row.workflow_id,
        n.writers = row.writers, n.created_at = row.created_at,
        n.schema_version = row.schema_version
    RETURN n.key, n.writers
"""

# The label comes from NodeKind, and the server takes it as a value: nothing is parsed.
NEO4J_LABEL_NODES: Final = """
    UNWIND $rows AS row
    MATCH (n:Entity {key: row.key})
    WHERE n.kind = row.kind
    SET n:$(row.kind)
"""

# The row's ends must be there. What is there stays as it is. Two MATCH: for one with a comma
# Ladybug reads all nodes for each end (0.8 s for 1,000 edges among 10,000 nodes, not 0.04 s).
MERGE_EDGES: Final = """
    UNWIND $rows AS row
    MATCH (a:Entity {key: row.source_key})
    MATCH (b:Entity {key: row.target_key})
    MERGE (a)-[r:LINK {edge_id: row.edge_id}]->(b)
    ON CREATE SET r.project = row.project, r.source = row.source, r.target = row.target,
        r.kind = row.kind, r.evidence = row.evidence, r.workflow_id = row.workflow_id,
        r.valid_from = row.valid_from, r.valid_to = row.valid_to, r.created_at = row.created_at,
        r.expired_at = row.expired_at, r.schema_version = row.schema_version
    RETURN r.edge_id
"""

# Writing a value over itself takes the server's write lock until the commit.
LOCK_NODES: Final = """
    UNWIND $keys AS key
    MATCH (n:Entity {key: key})
    SET n.schema_version = n.schema_version
"""

LOCK_EDGES: Final = """
    UNWIND $edge_ids AS edge_id
    MATCH (:Entity)-[r:LINK {edge_id: edge_id}]->(:Entity)
    SET r.schema_version = r.schema_version
"""

EXPIRE_EDGES: Final = """
    UNWIND $edge_ids AS edge_id
    MATCH (:Entity)-[r:LINK {edge_id: edge_id}]->(:Entity)
    WHERE r.project = $project AND r.expired_at = $open_end
    SET r.expired_at = $at
"""

OPEN_EDGES: Final = """
    UNWIND $edge_ids AS edge_id
    MATCH (:Entity)-[r:LINK {edge_id: edge_id}]->(:Entity)
    WHERE r.project = $project
    SET r.expired_at = $open_end
"""

KEYS: Final = "UNWIND $keys AS key MATCH (n:Entity {key: key}) RETURN n.key"

WRITERS: Final = "UNWIND $keys AS key MATCH (n:Entity {key: key}) RETURN n.key, n.writers"

SET_WRITERS: Final = """
    UNWIND $rows AS row
    MATCH (n:Entity {key: row.key})
    SET n.writers = row.writers, n.workflow_id = row.workflow_id
"""

NODES_BY_KEY: Final = """
    UNWIND $keys AS key
    MATCH (n:Entity {key: key})
    RETURN n.project, n.node_id, n.kind, n.name, n.properties, n.workflow_id, n.created_at,
        n.schema_version
"""

NODES: Final = """
    MATCH (n:Entity)
    WHERE n.project = $project AND n.kind IN $kinds
    RETURN n.project, n.node_id, n.kind, n.name, n.properties, n.workflow_id, n.created_at,
        n.schema_version
"""

EDGES: Final = """
    MATCH (:Entity)-[r:LINK]->(:Entity)
    WHERE r.project = $project
    RETURN r.project, r.source, r.target, r.kind, r.evidence, r.workflow_id, r.valid_from,
        r.valid_to, r.created_at, r.expired_at, r.schema_version
"""

# Edges in either direction that hold as known at a moment, and that speak of a time which meets
# the asked one; one with both ends at the
# keys comes twice, which costs less than DISTINCT (2.0 ms, not 1.7, for 11 keys). With UNWIND, Ladybug reads every edge instead of
# those at the keys: 34 ms, not 1 ms, with 20,000 edges.
EDGES_OF: Final = """
    MATCH (n:Entity)-[r:LINK]-(:Entity)
    WHERE n.key IN $keys AND r.project = $project
        AND r.valid_from < $before AND r.valid_to > $after
        AND r.created_at <= $at AND r.expired_at > $at
    RETURN r.project, r.source, r.target, r.kind, r.evidence, r.workflow_id, r.valid_from,
        r.valid_to, r.created_at, r.expired_at, r.schema_version
"""

# Of any moment; one with both ends at the keys comes twice, as above.
ALL_EDGES_OF: Final = """
    MATCH (n:Entity)-[r:LINK]-(:Entity)
    WHERE n.key IN $keys AND r.project = $project
    RETURN r.project, r.source, r.target, r.kind, r.evidence, r.workflow_id, r.valid_from,
        r.valid_to, r.created_at, r.expired_at, r.schema_version
"""

# Those that ended since are included; one with both ends at the keys comes twice, as above.
EDGES_OF_KINDS: Final = """
    MATCH (n:Entity)-[r:LINK]-(:Entity)
    WHERE n.key IN $keys AND r.project = $project AND r.kind IN $kinds AND r.created_at <= $at
    RETURN r.project, r.source, r.target, r.kind, r.evidence, r.workflow_id, r.valid_from,
        r.valid_to, r.created_at, r.expired_at, r.schema_version
"""

TARGETS_OF_RUN: Final = """
    MATCH (:Entity)-[r:LINK]->(n:Entity)
    WHERE r.project = $project AND r.workflow_id = $workflow_id AND r.kind = $kind
        AND n.kind IN $kinds
    RETURN n.node_id
"""

# `mark` is a part of the JSON list of writers.
KEYS_WRITTEN_BY: Final = """
    MATCH (n:Entity)
    WHERE n.project = $project AND n.writers CONTAINS $mark
    RETURN n.key
"""

DELETE_EDGES_OF_RUN: Final = """
    MATCH (:Entity)-[r:LINK]->(:Entity)
    WHERE r.project = $project AND r.workflow_id = $workflow_id
    DELETE r
"""

DELETE_NODES: Final = "UNWIND $keys AS key MATCH (n:Entity {key: key}) DETACH DELETE n"

PROJECT_KEYS: Final = "MATCH (n:Entity) WHERE n.project = $project RETURN n.key"

# All that MERGE_NODES and MERGE_EDGES take, in the order of their fields.
LADYBUG_ALL_NODES: Final = """
    MATCH (n:Entity)
    RETURN n.key, n.project, n.node_id, n.kind, n.name, n.properties, n.workflow_id, n.writers,
        n.created_at, n.schema_version
"""
NODE_FIELDS: Final = (
    "key",
    "project",
    "node_id",
    "kind",
    "name",
    "properties",
    "workflow_id",
    "writers",
    "created_at",
    "schema_version",
)
LADYBUG_ALL_EDGES: Final = """
    MATCH (a:Entity)-[r:LINK]->(b:Entity)
    RETURN r.edge_id, a.key, b.key, r.project, r.source, r.target, r.kind, r.evidence,
        r.workflow_id, r.valid_from, r.valid_to, r.created_at, r.expired_at, r.schema_version
"""
EDGE_FIELDS: Final = (
    "edge_id",
    "source_key",
    "target_key",
    "project",
    "source",
    "target",
    "kind",
    "evidence",
    "workflow_id",
    "valid_from",
    "valid_to",
    "created_at",
    "expired_at",
    "schema_version",
)
