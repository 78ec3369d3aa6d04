-- The action is only for jobs of a schedule, which are not in Git. To cancel a job that is in Git, use a commit.
local owned = false
for _, owner in ipairs(obj.metadata.ownerReferences or {}) do
  owned = owned or owner.kind == "TrainingSchedule"
end
local phase = obj.status and obj.status.phase
local over = phase == "Succeeded" or phase == "Failed" or phase == "Cancelled"
return {
  cancel = {
    disabled = not owned or over or obj.spec.cancel == true,
    displayName = "Cancel for good",
    iconClass = "fa fa-fw fa-stop"
  }
}
