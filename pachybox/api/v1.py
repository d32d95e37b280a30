"""The ``pachybox.v1.API`` service: what the box offers beyond Pachyderm's own API.

Messages and methods are written down as the short texts below and turned into a protobuf
file when the definitions load, so no compiler is needed. A field's number is its place in
its message: new fields go to the end, and a field once released is never taken out.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2 as pb

PACKAGE = "pachybox.v1"

ADDED = {"pps_v2.PipelineInfo": {"runner": 10_001}}
"""Texts that Pachyderm's own messages have beside their fields, with numbers that it does not
reach: its clients skip what they do not know."""

# message -> one field per line: name, type, "*" when repeated.
MESSAGES: dict[str, str] = {
    "StatusRequest": "",
    "StatusResponse": """
        version string
        home string
        pid int32
        started google.protobuf.Timestamp
        address string
        socket string
        runner string
        repos int64
        commits int64
        pipelines int64
        jobs_running int64
        store_bytes int64
        disk_free_bytes int64
        disk_total_bytes int64
        warnings string *
        grpc_address string
        janitor string
        scrub string
    """,
    "ShutdownRequest": "",
    "ShutdownResponse": "",
    "DoctorRequest": "",
    "Finding": """
        check string
        level string
        detail string
        remedy string
        code string
    """,
    "SubscribeEventsRequest": """
        from int64
        follow bool
        kinds string *
    """,
    "Event": """
        seq int64
        time google.protobuf.Timestamp
        kind string
        data google.protobuf.Struct
    """,
    "FsckRequest": """
        fix bool
        quick bool
    """,
    "FsckResponse": """
        level string
        thing string
        detail string
    """,
    "CollectGarbageRequest": "",
    "CollectGarbageResponse": """
        scanned int64
        freed_bytes int64
        packs_removed int64
        objects_removed int64
    """,
    "ScrubRequest": "now bool",
    "ScrubDamage": """
        blob string
        path string
        detail string
        files string *
    """,
    "ScrubResponse": """
        began google.protobuf.Timestamp
        done_bytes int64
        total_bytes int64
        ended bool
        last_whole google.protobuf.Timestamp
        period_seconds int64
        damaged int64
        damage ScrubDamage *
    """,
    "CreatePipelinesRequest": """
        text string
        source string
        update bool
        reprocess bool
        dry_run bool
        runner string
        project string
        more SpecText *
        if_version int64
    """,
    "SpecText": """
        text string
        source string
    """,
    "CreatedPipeline": """
        project string
        name string
        version int64
        created bool
        effective_spec_json string
    """,
    "CreatePipelinesResponse": """
        pipelines CreatedPipeline *
        warnings string *
    """,
    "ValidatePipelinesRequest": """
        text string
        source string
        project string
        runner string
        more SpecText *
    """,
    "ValidatePipelinesResponse": """
        pipelines pps_v2.Pipeline *
        problems string *
        warnings string *
    """,
    "MovePipelinesRequest": """
        pipelines pps_v2.Pipeline *
        project string
        all_projects bool
        runner string
        dry_run bool
    """,
    "MovedPipeline": """
        pipeline pps_v2.Pipeline
        version int64
        was string
        runner string
    """,
    "MovePipelinesResponse": """
        pipelines MovedPipeline *
        warnings string *
    """,
    "DiffPipelinesRequest": """
        text string
        source string
        project string
        runner string
        reprocess bool
        more SpecText *
    """,
    "FieldChange": """
        path string
        old_json string
        new_json string
        old_is_default bool
        new_is_default bool
    """,
    "PipelineDifference": """
        pipeline pps_v2.Pipeline
        version int64
        changes FieldChange *
        user_changes FieldChange *
        job bool
        datums_total int64
        datums_run int64
        datums_new int64
        datums_gone int64
        remarks string *
        downstream pps_v2.Pipeline *
        warnings string *
        old_spec_json string
        new_spec_json string
    """,
    "ExtractPipelineRequest": """
        pipeline pps_v2.Pipeline
        version int64
    """,
    "ExtractPipelineResponse": "spec_json string",
    "RunPipelineRequest": """
        pipeline pps_v2.Pipeline
        provenance string *
        job string
    """,
    "RunPipelineResponse": "job pps_v2.Job",
    "FlushCommitRequest": """
        commits string *
        to_repos string *
    """,
    "FlushJobRequest": """
        commits string *
        to_pipelines string *
    """,
    "DeleteCommitRequest": "commit string",
    "DeleteCommitResponse": "deleted string *",
    "ListHistoryRequest": """
        project string
        repo string
        ref string
        path string
        depth int64
    """,
    "CreateBranchResponse": "",
    "StopJobResponse": "",
    "DeleteSecretRequest": """
        name string
        force bool
    """,
    "DeleteSecretResponse": "",
    "ResolveCommitRequest": """
        project string
        repo string
        ref string
    """,
    "GetBoxLogRequest": """
        pipeline string
        job string
        follow bool
        tail int64
        since_ms int64
    """,
    "OpenTrialRequest": "",
    "TrialEvent": """
        trial string
        run int64
        plan TrialPlan
        line TrialLine
        datum TrialDatum
        end TrialEnd
    """,
    "TrialPlan": """
        pipeline pps_v2.Pipeline
        exists bool
        total int64
        datums pps_v2.DatumInfo *
        place string
        empty string *
    """,
    "TrialLine": """
        datum string
        time google.protobuf.Timestamp
        message string
    """,
    "TrialDatum": """
        info pps_v2.DatumInfo
        reason string
        files int64
        size_bytes int64
        last TrialDifference
        present TrialDifference
    """,
    "TrialDifference": """
        changes TrialChange *
        more int64
    """,
    "TrialChange": """
        path string
        op string
        old_bytes int64
        new_bytes int64
        text string
    """,
    "TrialEnd": """
        state string
        message string
        hint string
        took_us int64
    """,
    "RunTrialRequest": """
        trial string
        text string
        source string
        project string
        runner string
        pipeline string
        sample int64
        datums string *
        inputs string *
        fileset string
        programs string *
        place string
        build string
    """,
    "RunTrialResponse": """
        run int64
        warnings string *
    """,
    "SaveTrialRequest": "trial string",
    "SaveTrialResponse": "fileset string",
    "ListImageRequest": "projects string *",
    "ImageInfo": """
        pipeline pps_v2.Pipeline
        version int64
        image string
        id string
        digests string *
        size_bytes int64
        missing string
    """,
    "Ingest": """
        project string
        name string
    """,
    "CreateIngestRequest": """
        text string
        source string
        project string
        update bool
        reset bool
    """,
    "CreatedIngest": """
        ingest Ingest
        version int64
        created bool
        warnings string *
    """,
    "CreateIngestResponse": "ingests CreatedIngest *",
    "ListIngestRequest": "projects string *",
    "InspectIngestRequest": "ingest Ingest",
    "IngestInfo": """
        ingest Ingest
        kind string
        to string
        state string
        reason string
        since google.protobuf.Timestamp
        paused bool
        pipeline pps_v2.Pipeline
        spec_json string
        version int64
        created google.protobuf.Timestamp
        updated google.protobuf.Timestamp
        batch int64
        offset_json string
        records int64
        bytes int64
        files int64
        commits int64
        dead_letters int64
        last_commit string
        last_time google.protobuf.Timestamp
        next_time google.protobuf.Timestamp
        lag_s double
        pending int64
        rates double *
        errors int64
        error string
        error_time google.protobuf.Timestamp
        restarts int64
        pid int32
    """,
    "PauseIngestRequest": "ingest Ingest",
    "ResumeIngestRequest": "ingest Ingest",
    "RunIngestRequest": "ingest Ingest",
    "DeleteIngestRequest": "ingest Ingest",
    "IngestResponse": "",
    "AdvanceIngestRequest": """
        ingest Ingest
        version int64
        batch int64
        fileset string
        append bool
        deletes string *
        offset_json string
        marker string
        dead string
        records int64
        bytes int64
        files int64
        dead_letters int64
        description string
        made string
    """,
    "AdvanceIngestResponse": """
        batch int64
        commit string
    """,
    "GetIngestLogRequest": """
        ingest Ingest
        follow bool
        tail int64
        since_ms int64
    """,
    "LogName": """
        pipeline pps_v2.Pipeline
        job pps_v2.Job
        datum string
        ingest Ingest
    """,
    "ReadLogRequest": """
        log LogName
        edge string
        at int64
        lines int64
    """,
    "LogEntry": """
        time google.protobuf.Timestamp
        text string
        level string
        datum string
        worker string
        at int64
        attempt int64
        user bool
        job string
    """,
    "LogPart": """
        lines LogEntry *
        start int64
        end int64
        size int64
    """,
    "FindLogRequest": """
        log LogName
        pattern string
        after int64
        back bool
        regex bool
    """,
    "FindLogResponse": "found LogEntry",
    "FollowLogRequest": """
        log LogName
        after int64
    """,
    "CheckSpecRequest": """
        text string
        source string
        project string
        runner string
        kind string
    """,
    "SpecProblem": """
        level string
        line int64
        column int64
        message string
        hint string
        field string
        document int64
    """,
    "CheckSpecResponse": """
        pipelines string *
        problems SpecProblem *
    """,
    "DescribeSpecRequest": "kind string",
    "SpecField": """
        path string
        type string
        default string
        help string
        example string
        choices string *
        status string
    """,
    "DescribeSpecResponse": "fields SpecField *",
    "PreviewInputRequest": """
        text string
        source string
        project string
        limit int64
    """,
    "PreviewDatum": """
        id string
        inputs string *
        bytes int64
    """,
    "PreviewGlob": """
        glob string
        datums int64
        at_least bool
    """,
    "PreviewInputResponse": """
        total int64
        at_least bool
        sampled bool
        bytes int64
        largest int64
        median int64
        took_us int64
        rows PreviewDatum *
        problem string
        globs PreviewGlob *
        commits string *
        warnings string *
    """,
    "GetSummaryRequest": "",
    "Machine": """
        cpu double
        memory_used int64
        memory_total int64
        disk_used int64
        disk_total int64
        disk_free int64
    """,
    "DiskUse": """
        data int64
        cache int64
        images int64
        logs int64
        growth_per_day double
        mark string
    """,
    "JobSummary": """
        pipeline string
        id string
        state string
        reason string
        created google.protobuf.Timestamp
        started google.protobuf.Timestamp
        finished google.protobuf.Timestamp
        total int64
        processed int64
        skipped int64
        failed int64
        recovered int64
        restarts int64
        done_share double
        left google.protobuf.Duration
        download_bytes int64
        upload_bytes int64
        output_commit string
    """,
    "PipelineSummary": """
        name string
        kind string
        state string
        reason string
        stopped bool
        version int64
        inputs string *
        crons string *
        output string
        job JobSummary
        repo_bytes int64
        runner string
    """,
    "RepoSummary": """
        name string
        description string
        branches string *
        head string
        head_time google.protobuf.Timestamp
        size_bytes int64
        provenance bool
    """,
    "Attention": """
        level string
        ref string
        kind string
        text string
        remedy string
        since google.protobuf.Timestamp
    """,
    "Summary": """
        time google.protobuf.Timestamp
        version string
        name string
        address string
        runner string
        read_only bool
        event_seq int64
        machine Machine
        disk DiskUse
        pipelines PipelineSummary *
        repos RepoSummary *
        jobs JobSummary *
        ingests IngestInfo *
        warnings string *
        attention Attention *
    """,
    "PageJobRequest": """
        pipeline pps_v2.Pipeline
        offset int64
        limit int64
        search string
        states string *
        sort string
        reverse bool
    """,
    "JobPage": """
        total int64
        jobs JobSummary *
    """,
    "PageDatumRequest": """
        job pps_v2.Job
        offset int64
        limit int64
        search string
        states string *
        sort string
        reverse bool
    """,
    "StateCount": """
        state string
        count int64
    """,
    "DatumRow": """
        id string
        input string
        inputs string *
        state string
        reason string
        download_s double
        process_s double
        upload_s double
        tries int64
        download_bytes int64
        upload_bytes int64
        worker string
        started google.protobuf.Timestamp
    """,
    "DatumPage": """
        total int64
        counts StateCount *
        datums DatumRow *
    """,
    "GetTimingRequest": "job pps_v2.Job",
    "Span": """
        datum string
        state string
        start_s double
        download_s double
        process_s double
        upload_s double
    """,
    "WorkerTime": """
        name string
        spans Span *
        busy_share double
    """,
    "PhaseTime": """
        phase string
        p50 double
        p95 double
        max double
    """,
    "JobTiming": """
        workers WorkerTime *
        phases PhaseTime *
        slowest DatumRow *
    """,
    "PageFileRequest": """
        file pfs_v2.File
        offset int64
        limit int64
        search string
        sort string
        reverse bool
    """,
    "FilePage": """
        total int64
        files pfs_v2.FileInfo *
    """,
    "PageCommitRequest": """
        repo pfs_v2.Repo
        branch string
        offset int64
        limit int64
        search string
    """,
    "CommitPage": """
        total int64
        commits pfs_v2.CommitInfo *
    """,
    "PageDiffRequest": """
        new_file pfs_v2.File
        old_file pfs_v2.File
        offset int64
        limit int64
    """,
    "DiffPage": """
        total int64
        added int64
        removed int64
        changed int64
        bytes_delta int64
        changes pfs_v2.DiffFileResponse *
    """,
    "ListRepoUsersRequest": "repo pfs_v2.Repo",
    "ListRepoUsersResponse": "pipelines string *",
    "ListWebhookRequest": "",
    "WebhookInfo": """
        number int32
        url string
        events string *
        signed bool
        waiting int64
        delivered int64
        failed int64
        dropped int64
        error string
        error_time google.protobuf.Timestamp
        last_time google.protobuf.Timestamp
    """,
    "TestWebhookRequest": "webhook string",
    "WebhookTest": """
        number int32
        url string
        status int32
        error string
    """,
    "GetSettingsRequest": "",
    "SettingValue": """
        key string
        value string
        origin string
    """,
    "GetSettingsResponse": """
        home string
        settings SettingValue *
    """,
    "Token": """
        name string
        role string
        repos string *
        created google.protobuf.Timestamp
        expires google.protobuf.Timestamp
        revoked google.protobuf.Timestamp
        used google.protobuf.Timestamp
        s3 bool
        state string
    """,
    "CreateTokenRequest": """
        name string
        role string
        repos string *
        expires_s int64
        s3 bool
    """,
    "CreateTokenResponse": """
        token string
        info Token
    """,
    "ListTokenRequest": "",
    "DeleteTokenRequest": """
        name string
        purge bool
        all bool
    """,
    "DeleteTokenResponse": "",
    "GetAuditRequest": """
        since_ms int64
        who string
        follow bool
        tail int64
    """,
    "AuditEntry": """
        time google.protobuf.Timestamp
        who string
        role string
        door string
        peer string
        method string
        things string *
        code string
        request string
    """,
    "BackupInfo": """
        id string
        to string
        time google.protobuf.Timestamp
        box string
        host string
        pachybox string
        repos int64
        commits int64
        pipelines int64
        jobs int64
        secrets int64
        box_bytes int64
        blobs int64
        sent_bytes int64
        with_key bool
        problem string
    """,
    "BackupProgress": """
        stage string
        done int64
        total int64
        end bool
        backup BackupInfo
        problems string *
        kept BackupInfo *
        removed BackupInfo *
        packs int64
        bytes int64
        has_key bool
    """,
    "CreateBackupRequest": """
        to string
        passphrase string
        new bool
    """,
    "ListBackupRequest": "to string",
    "VerifyBackupRequest": """
        to string
        ids string *
        share double
    """,
    "RestoreBackupRequest": """
        to string
        id string
        passphrase string
    """,
    "PruneBackupRequest": """
        to string
        keep string
        dry_run bool
    """,
}

# method, request, response, "stream" when the server streams.
METHODS = """
    Status StatusRequest StatusResponse
    Shutdown ShutdownRequest ShutdownResponse
    Doctor DoctorRequest Finding stream
    SubscribeEvents SubscribeEventsRequest Event stream
    Fsck FsckRequest FsckResponse stream
    CollectGarbage CollectGarbageRequest CollectGarbageResponse
    Scrub ScrubRequest ScrubResponse stream
    CreatePipelines CreatePipelinesRequest CreatePipelinesResponse
    ValidatePipelines ValidatePipelinesRequest ValidatePipelinesResponse
    MovePipelines MovePipelinesRequest MovePipelinesResponse
    DiffPipelines DiffPipelinesRequest PipelineDifference stream
    ExtractPipeline ExtractPipelineRequest ExtractPipelineResponse
    RunPipeline RunPipelineRequest RunPipelineResponse
    FlushCommit FlushCommitRequest pfs_v2.CommitInfo stream
    FlushJob FlushJobRequest pps_v2.JobInfo stream
    DeleteCommit DeleteCommitRequest DeleteCommitResponse
    ListHistory ListHistoryRequest pfs_v2.FileInfo stream
    ResolveCommit ResolveCommitRequest pfs_v2.CommitInfo
    GetBoxLog GetBoxLogRequest pps_v2.LogMessage stream
    GetLogs pps_v2.GetLogsRequest pps_v2.LogMessage stream
    DeleteSecret DeleteSecretRequest DeleteSecretResponse
    CreateBranch pfs_v2.CreateBranchRequest CreateBranchResponse
    DiffFile pfs_v2.DiffFileRequest pfs_v2.DiffFileResponse stream
    StopJob pps_v2.StopJobRequest StopJobResponse
    OpenTrial OpenTrialRequest TrialEvent stream
    RunTrial RunTrialRequest RunTrialResponse
    SaveTrial SaveTrialRequest SaveTrialResponse
    ListImage ListImageRequest ImageInfo stream
    CreateIngest CreateIngestRequest CreateIngestResponse
    ListIngest ListIngestRequest IngestInfo stream
    InspectIngest InspectIngestRequest IngestInfo
    PauseIngest PauseIngestRequest IngestResponse
    ResumeIngest ResumeIngestRequest IngestResponse
    RunIngest RunIngestRequest IngestResponse
    DeleteIngest DeleteIngestRequest IngestResponse
    AdvanceIngest AdvanceIngestRequest AdvanceIngestResponse
    GetIngestLog GetIngestLogRequest pps_v2.LogMessage stream
    ReadLog ReadLogRequest LogPart
    FindLog FindLogRequest FindLogResponse
    FollowLog FollowLogRequest LogEntry stream
    CheckSpec CheckSpecRequest CheckSpecResponse
    DescribeSpec DescribeSpecRequest DescribeSpecResponse
    PreviewInput PreviewInputRequest PreviewInputResponse
    GetSummary GetSummaryRequest Summary
    PageJob PageJobRequest JobPage
    PageDatum PageDatumRequest DatumPage
    GetTiming GetTimingRequest JobTiming
    PageFile PageFileRequest FilePage
    PageCommit PageCommitRequest CommitPage
    PageDiff PageDiffRequest DiffPage
    ListRepoUsers ListRepoUsersRequest ListRepoUsersResponse
    ListWebhook ListWebhookRequest WebhookInfo stream
    TestWebhook TestWebhookRequest WebhookTest stream
    GetSettings GetSettingsRequest GetSettingsResponse
    CreateToken CreateTokenRequest CreateTokenResponse
    ListToken ListTokenRequest Token stream
    DeleteToken DeleteTokenRequest DeleteTokenResponse
    GetAudit GetAuditRequest AuditEntry stream
    CreateBackup CreateBackupRequest BackupProgress stream
    ListBackup ListBackupRequest BackupInfo stream
    VerifyBackup VerifyBackupRequest BackupProgress stream
    RestoreBackup RestoreBackupRequest BackupProgress stream
    PruneBackup PruneBackupRequest BackupProgress stream
"""

_DEPENDENCIES = (
    "google/protobuf/duration.proto",
    "google/protobuf/struct.proto",
    "google/protobuf/timestamp.proto",
    "pachyderm/pfs_v2.proto",
    "pachyderm/pps_v2.proto",
)
_SCALARS = {
    "bool": pb.FieldDescriptorProto.TYPE_BOOL,
    "double": pb.FieldDescriptorProto.TYPE_DOUBLE,
    "int32": pb.FieldDescriptorProto.TYPE_INT32,
    "int64": pb.FieldDescriptorProto.TYPE_INT64,
    "string": pb.FieldDescriptorProto.TYPE_STRING,
}


def file_descriptor() -> pb.FileDescriptorProto:
    """The service as a protobuf file; it depends on Pachyderm's pfs and pps files."""
    file = pb.FileDescriptorProto(
        name="pachybox/v1.proto", package=PACKAGE, syntax="proto3", dependency=_DEPENDENCIES
    )
    for name, text in MESSAGES.items():
        message = file.message_type.add(name=name)
        lines = [line.split() for line in text.splitlines() if line.strip()]
        for number, (field, kind, *star) in enumerate(lines, 1):
            out = message.field.add(name=field, number=number)
            repeated = star == ["*"]
            out.label = (
                pb.FieldDescriptorProto.LABEL_REPEATED
                if repeated
                else pb.FieldDescriptorProto.LABEL_OPTIONAL
            )
            if kind in _SCALARS:
                out.type = _SCALARS[kind]
            else:
                out.type = pb.FieldDescriptorProto.TYPE_MESSAGE
                out.type_name = _absolute(kind)
    service = file.service.add(name="API")
    for line in METHODS.strip().splitlines():
        name, request, response, *stream = line.split()
        service.method.add(
            name=name,
            input_type=_absolute(request),
            output_type=_absolute(response),
            server_streaming=stream == ["stream"],
        )
    return file


def add_to(file: pb.FileDescriptorProto) -> None:
    """Give the messages of a file of Pachyderm's what is ADDED to them."""
    for message in file.message_type:
        for name, number in ADDED.get(f"{file.package}.{message.name}", {}).items():
            message.field.add(
                name=name,
                json_name=name,
                number=number,
                label=pb.FieldDescriptorProto.LABEL_OPTIONAL,
                type=pb.FieldDescriptorProto.TYPE_STRING,
            )


def _absolute(name: str) -> str:
    return f".{name}" if "." in name else f".{PACKAGE}.{name}"
