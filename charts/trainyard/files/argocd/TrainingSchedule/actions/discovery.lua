return {
  ["run-now"] = {displayName = "Run now", iconClass = "fa fa-fw fa-play"}
}
