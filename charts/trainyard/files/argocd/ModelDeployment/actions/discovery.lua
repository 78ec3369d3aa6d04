-- What is greyed out here would be refused by the operator with a sentence; the status is what both go by.
local status = obj.status or {}

local somewhere = status.previousVersion ~= nil
for _, entry in ipairs(status.history or {}) do
  somewhere = somewhere or entry.version ~= status.activeVersion
end

local rejected
for _, each in ipairs(status.rejectedVersions or {}) do
  if rejected == nil or each.version > rejected then
    rejected = each.version
  end
end

return {
  rollback = {
    disabled = not somewhere,
    displayName = "Roll back",
    iconClass = "fa fa-fw fa-undo",
    params = {{name = "version", default = "previous"}}
  },
  promote = {
    disabled = status.phase ~= "AwaitingPromotion",
    displayName = "Promote the candidate",
    iconClass = "fa fa-fw fa-check"
  },
  abort = {
    disabled = status.candidateVersion == nil,
    displayName = "Abort the roll-out",
    iconClass = "fa fa-fw fa-stop"
  },
  retry = {
    disabled = rejected == nil,
    displayName = "Try a refused version again",
    iconClass = "fa fa-fw fa-redo",
    params = {{name = "version", default = tostring(rejected or "")}}
  },
  hold = {
    disabled = status.hold ~= nil,
    displayName = "Hold: take no newer version",
    iconClass = "fa fa-fw fa-pause"
  },
  release = {
    disabled = status.hold == nil,
    displayName = "Release the hold",
    iconClass = "fa fa-fw fa-play"
  }
}
