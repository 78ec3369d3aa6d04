-- An action is disabled if the operator would refuse it, or if it would have no effect.
local status = obj.status or {}
local pinned = obj.spec.version ~= nil and obj.spec.version.policy == "Pinned"

local automatic = obj.spec.rollout == nil or obj.spec.rollout.autoPromote ~= false
local decided = status.candidateReason == "Promoted" or status.candidateReason == "Rollback"

local refused
for _, each in ipairs(status.rejectedVersions or {}) do
  if refused == nil or each.version > refused then
    refused = each.version
  end
end

return {
  rollback = {
    disabled = pinned or status.activeVersion == nil,
    displayName = "Roll back",
    iconClass = "fa fa-fw fa-undo",
    params = {{name = "version", default = "previous"}}
  },
  promote = {
    disabled = status.candidateVersion == nil or automatic or decided,
    displayName = "Promote the candidate",
    iconClass = "fa fa-fw fa-check"
  },
  abort = {
    disabled = status.candidateVersion == nil,
    displayName = "Abort the rollout",
    iconClass = "fa fa-fw fa-stop"
  },
  retry = {
    disabled = refused == nil,
    displayName = "Try a rejected version again",
    iconClass = "fa fa-fw fa-redo",
    params = {{name = "version", default = tostring(refused or "")}}
  },
  hold = {
    disabled = pinned or (status.hold ~= nil and status.hold.reason == "Held"),
    displayName = "Hold: select no newer version",
    iconClass = "fa fa-fw fa-pause"
  },
  release = {
    disabled = status.hold == nil,
    displayName = "Release the hold",
    iconClass = "fa fa-fw fa-play"
  }
}
